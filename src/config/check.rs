//! What is wrong between the parts of a configuration: names that lead nowhere, routers that collide, weights without
//! effect, scripts without protection. It knows no system; what a system must have is `check/system.rs`.

mod locals;
mod routers;
mod scripts;
mod sync;
pub mod system;
#[cfg(test)]
mod tests;
mod tracking;

use super::collect::Problems;
use super::model::Config;

/// Check the model as a whole.
pub fn check(config: &Config, problems: &mut Problems) {
    routers::check(config, problems);
    tracking::check(config, problems);
    scripts::check(config, problems);
    locals::check(config, problems);
    sync::check(config, problems);
}
