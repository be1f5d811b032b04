//! The model as canonical keepalived.conf: after expansion, with what was decided written out. Reading it back gives
//! the same model.
//!
//! Every model struct is taken apart by name: a new field does not compile until it is shown. What the model does not
//! hold (keywords that are not served, comments, definitions) is not in the text.

mod checker;
mod global;
mod instance;
mod node;
mod service;
#[cfg(test)]
pub mod tests;
mod track;

pub use node::Node;

use super::model::{Config, VirtualServer};

/// The statements of the top level, in the order in which they depend on one another; of the virtual servers only `shown`.
pub fn statements(config: &Config, shown: &[&VirtualServer]) -> Vec<Node> {
    let Config {
        global,
        tls,
        track_groups,
        statics,
        scripts,
        track_files,
        track_processes,
        bfds,
        garp_groups,
        link_delays,
        sync_groups,
        instances,
        virtual_server_groups,
        local_address_groups,
        virtual_servers: _,
    } = config;
    let mut all = vec![];
    let defs = global::statements(global);
    if !defs.is_empty() {
        all.push(Node::block("global_defs", String::new(), defs));
    }
    all.extend(checker::ssl(tls));
    all.extend(track_groups.iter().map(track::static_group));
    all.extend(instance::statics(statics));
    all.extend(scripts.iter().map(track::script));
    all.extend(track_files.iter().map(track::file));
    all.extend(track_processes.iter().map(track::process));
    all.extend(bfds.iter().map(track::bfd));
    all.extend(garp_groups.iter().map(global::garp_group));
    if !link_delays.is_empty() {
        let lines = link_delays.iter().map(global::link_delay).collect();
        all.push(Node::block("interface_up_down_delays", String::new(), lines));
    }
    all.extend(sync_groups.iter().map(track::group));
    all.extend(instances.iter().map(|instance| instance::instance(instance, global)));
    all.extend(virtual_server_groups.iter().map(service::group));
    all.extend(local_address_groups.iter().map(service::local_group));
    all.extend(shown.iter().map(|one| service::service(one)));
    all
}

/// The whole text.
pub fn show(config: &Config) -> String {
    let every: Vec<_> = config.virtual_servers.iter().collect();
    let blocks: Vec<String> = statements(config, &every).iter().map(ToString::to_string).collect();
    blocks.join("\n")
}
