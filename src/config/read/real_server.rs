//! `real_server ADDR [PORT]` of a service.

use super::value::{address, flag, number, number_word, set};
use super::{checker, notify, virtual_server};
use crate::base::Weight;
use crate::config::model::{CheckDefaults, RealServer};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

const THRESHOLD_MAX: i64 = 4_294_967_295;

/// One real server. Port 0, or none: the service's, which the service fills in.
pub fn read(statement: &Statement<'_>, weight: Weight, problems: &mut Vec<Problem>) -> Option<RealServer> {
    let addr = address(problems, statement, 0);
    let port = match statement.arg(1) {
        Some(port) => number_word(problems, "port", port, 0..=65_535, ""),
        None => Some(0),
    };
    let mut server = RealServer {
        addr: addr?,
        port: port?,
        at: statement.at(),
        weight,
        lb_kind: None,
        inhibit_on_failure: None,
        upper_threshold: 0,
        lower_threshold: 0,
        alpha: None,
        notify_up: None,
        notify_down: None,
        check: CheckDefaults::default(),
        virtualhost: None,
        mail: None,
        // Exact: most real servers have one check, and a large file has many real servers.
        checkers: Vec::with_capacity(statement.statements().iter().filter(|inner| inner.block.is_some()).count()),
    };
    for inner in statement.statements() {
        let before = server.checkers.len();
        if !checker::read(inner, &mut server.checkers, problems) && !checker::times(inner, &mut server.check, problems)
        {
            option(inner, &mut server, problems);
        }
        for one in server.checkers.iter_mut().skip(before) {
            checker::settle(one, inner, server.addr, problems);
        }
    }
    thresholds(statement, &mut server, problems);
    Some(server)
}

/// A server with a lower threshold above its upper one (0: none) is refused by every plane (`ip_vs_add_dest`: ERANGE).
/// keepalived logs that, and goes on without the server.
fn thresholds(statement: &Statement<'_>, server: &mut RealServer, problems: &mut Vec<Problem>) {
    let (lower, upper) = (server.lower_threshold, server.upper_threshold);
    let line = statement.statements().iter().rev().find(|line| line.keyword.text == "lthreshold");
    let Some(line) = line.filter(|_| lower > upper) else { return };
    let message = format!("real_server {}: lthreshold {lower} is above uthreshold {upper}", server.addr);
    let problem = Problem::new("thresholds-reversed", Severity::Error, line.at(), message);
    let help = "below lthreshold connections a server gets new ones again: write a smaller number";
    problems.push(problem.label("not used: three quarters of uthreshold are").help(help));
    server.lower_threshold = 0;
}

fn option(inner: &Statement<'_>, server: &mut RealServer, problems: &mut Vec<Problem>) {
    match inner.keyword.text {
        "weight" => {
            let weight = number::<u32>(problems, inner, 0, 0..=i64::from(Weight::MAX), "");
            set(&mut server.weight, weight.and_then(|weight| Weight::new(weight).ok()));
        }
        "lvs_method" => server.lb_kind = virtual_server::kind(inner, problems),
        "inhibit_on_failure" => set(&mut server.inhibit_on_failure, flag(problems, inner).map(Some)),
        "uthreshold" => set(&mut server.upper_threshold, number(problems, inner, 0, 0..=THRESHOLD_MAX, "")),
        "lthreshold" => set(&mut server.lower_threshold, number(problems, inner, 0, 0..=THRESHOLD_MAX, "")),
        "alpha" => set(&mut server.alpha, flag(problems, inner).map(Some)),
        "retry" => checker::retry(inner, &mut server.check, problems),
        "virtualhost" => server.virtualhost = inner.arg(0).map(|word| word.text.to_owned()),
        "notify_up" => notify::first_only(&mut server.notify_up, inner, problems),
        "notify_down" => notify::first_only(&mut server.notify_down, inner, problems),
        "smtp_alert" => server.mail = flag(problems, inner),
        _ => {}
    }
}
