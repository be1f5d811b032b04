//! `vipd config show`: a configuration as it was understood.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print::{err, tell};
use super::{LoadArgs, check};
use crate::config::io::loader::load;
use crate::config::model::Config;
use crate::config::show;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print what vipd understood, as one canonical keepalived.conf: includes, definitions and repetitions expanded, and
    /// the defaults that decide an election or a service written out. Passwords are in it.
    ///
    /// Exit status: 0, or 4 where the file would not run.
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    load: LoadArgs,
    /// The configuration, as keepalived.conf has it.
    file: PathBuf,
    /// The model as JSON; times are in seconds.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let Verb::Show(args) = &args.verb;
    let loaded = load(&args.file, &args.load.options());
    if loaded.is_fatal() {
        err(&check::text(&loaded, false));
        return ExitCode::from(loaded.exit_code());
    }
    let shown = if args.json { json(&loaded.config) } else { Ok(show::show(&loaded.config)) };
    tell(shown)
}

fn json(config: &Config) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(config)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::io::loader::{LoadOptions, load_text};

    #[test]
    fn a_model_as_json_has_names_and_seconds() {
        let text = "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\nadvert_int 0.25\nversion 3\n\
                    virtual_ipaddress {\n192.0.2.1/24\n}\n}\nvirtual_server 192.0.2.1 80 {\nlb_algo rr\nlb_kind NAT\n\
                    protocol TCP\nreal_server 10.0.0.1 80 {\nHTTP_GET {\ndelay_loop 1.5\nurl {\npath /\n\
                    digest 00112233445566778899aabbccddeeff\n}\n}\n}\n}\n";
        let loaded = load_text("a.conf", text, &LoadOptions { system: false, ..LoadOptions::default() });
        insta::assert_snapshot!(json(&loaded.config).unwrap());
    }
}
