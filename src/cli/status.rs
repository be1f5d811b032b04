//! `vipd status`: the daemon's answer as a table, or as the JSON it is.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use super::print::{is_terminal, read, room, table, tell};
use crate::control::api::{InstanceStatus, PlaneStatus, RealServerStatus, Status, TrackerStatus, VirtualServerStatus};
use crate::control::io::client;
use crate::daemon::rundir::control_socket;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: super::RunDirArg,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
    /// Show it again and again, in place, until Ctrl-C; every second where no number is given.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", conflicts_with = "json")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// How many of the last events to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    events: usize,
}

pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StatusError::Runtime);
    let done = runtime.and_then(|runtime| match args.watch {
        Some(seconds) => {
            runtime.block_on(watch(args, Duration::from_secs(seconds)));
            Ok(String::new())
        }
        None => runtime.block_on(ask(args)),
    });
    tell(done)
}

/// Until nobody reads any more. A daemon that does not answer may be one that is being restarted.
async fn watch(args: &Args, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let in_place = is_terminal();
    loop {
        ticks.tick().await;
        let text = ask(args).await.unwrap_or_else(|error| format!("vipd: {error}\n"));
        let shown = if in_place { frame(&text, room()) } else { text + "\n" };
        if !read(&shown) {
            return;
        }
    }
}

/// The text over what the terminal shows: from its first line, each line to its end, and nothing below (ECMA-48: CUP, EL,
/// ED). Nothing is cleared before it is written, so nothing flickers. What there is no room for, in columns and lines, is
/// left out at the end, and told: a terminal that scrolls would keep the end instead of the beginning.
fn frame(text: &str, room: Option<(usize, usize)>) -> String {
    let (columns, lines) = room.unwrap_or((usize::MAX, usize::MAX));
    let all = text.lines().count();
    let shown = if all < lines { all } else { lines.saturating_sub(1) };
    let mut frame = "\x1b[H".to_owned();
    for line in text.lines().take(shown) {
        frame.extend(line.chars().take(columns));
        // Behind the last column a terminal stands on it still, and would clear it.
        frame.push_str(if line.chars().nth(columns.saturating_sub(1)).is_some() { "\n" } else { "\x1b[K\n" });
    }
    if shown < all {
        let more = format!("{} more lines", all.saturating_sub(shown));
        frame.extend(more.chars().take(columns));
    }
    frame.push_str("\x1b[J");
    frame
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("starting the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Call(#[from] client::CallError),
    #[error("the daemon's answer is not a status ({0}); is it of another version?")]
    Answer(serde_json::Error),
}

async fn ask(args: &Args) -> Result<String, StatusError> {
    let socket = control_socket(&args.at.run_dir);
    let text = client::call(&socket, "GET", "/status", vec![]).await?;
    if args.json {
        return Ok(text + "\n");
    }
    let status: Status = serde_json::from_str(&text).map_err(StatusError::Answer)?;
    Ok(render(&status, args.events))
}

/// The whole status as text.
fn render(status: &Status, events: usize) -> String {
    let mut text = format!(
        "vipd {} pid {} {}, up {}, configuration {} loaded {} ago\n",
        status.version,
        status.pid,
        status.state.to_lowercase(),
        span(status.uptime_s),
        status.config.file,
        span(status.config.loaded_s_ago),
    );
    if let Some(failure) = &status.config.last_failure {
        text.push_str(&format!("LAST RELOAD FAILED, the one before goes on: {failure}\n"));
    }
    if let Some(why) = &status.scheduling.refused {
        text.push_str(&format!("Adverts may be late on a busy machine ({}): {why}\n", status.scheduling.heartbeat));
    }
    if !status.instances.is_empty() {
        text.push_str("\nVirtual routers\n");
        text.push_str(&table(&instances(&status.instances), 2));
    }
    if !status.trackers.is_empty() {
        text.push_str("\nTracked\n");
        text.push_str(&table(&trackers(&status.trackers), 2));
    }
    text.push_str(&rejected(status));
    for server in &status.virtual_servers {
        text.push('\n');
        text.push_str(&virtual_server(server));
    }
    text.push_str(&status.plane.as_ref().map_or_else(String::new, plane));
    let skipped = status.events.len().saturating_sub(events);
    if events > 0 && !status.events.is_empty() {
        text.push_str("\nLast events\n");
        let rows: Vec<Vec<String>> = status
            .events
            .iter()
            .skip(skipped)
            .map(|event| vec![format!("{:.1} s ago", event.s_ago), event.name.clone(), event.text.clone()])
            .collect();
        text.push_str(&table(&rows, 2));
    }
    let lost = status.counters;
    if lost.events_lost + lost.log_lines_lost + lost.plane_failures > 0 {
        text.push_str(&format!(
            "\nLost: {} events, {} log lines; {} changes of a forwarding plane failed\n",
            lost.events_lost, lost.log_lines_lost, lost.plane_failures
        ));
    }
    text
}

fn trackers(all: &[TrackerStatus]) -> Vec<Vec<String>> {
    let head = ["KIND", "NAME", "STATE", "BECAUSE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for TrackerStatus { kind, name, state, because } in all {
        rows.push(vec![kind.clone(), name.clone(), state.clone(), because.clone().unwrap_or_else(|| "-".to_owned())]);
    }
    rows
}

/// Every kind of bad packet with its number; nothing where there was none.
fn rejected(status: &Status) -> String {
    let of = |name: String, counts: &BTreeMap<String, u64>| {
        let counts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        (!counts.is_empty()).then(|| vec![name, counts.join(", ")])
    };
    let instances = status.instances.iter().filter_map(|one| of(one.name.clone(), &one.discards));
    let strangers = status.strangers.iter();
    let strangers = strangers.filter_map(|(interface, counts)| of(format!("nobody's, on {interface}"), counts));
    let frames = of("frames".to_owned(), &status.bad_frames);
    let bfd = of("BFD".to_owned(), &status.bfd_discards);
    let rows: Vec<Vec<String>> = instances.chain(strangers).chain(frames).chain(bfd).collect();
    if rows.is_empty() { String::new() } else { format!("\nRejected packets\n{}", table(&rows, 2)) }
}

/// Where the plane serves, and packets that it did not forward as usual.
fn plane(status: &PlaneStatus) -> String {
    let PlaneStatus { name, refused, hooks, hooks_because, connections, connections_max, reasons } = status;
    let mut text = refused.as_ref().map_or_else(String::new, |why| format!("\nThe {name} plane REFUSES: {why}\n"));
    if !hooks.is_empty() {
        let row = |(interface, hook): (&String, &String)| {
            let because = hooks_because.get(interface).map_or_else(String::new, |because| because.reason.clone());
            vec![interface.clone(), hook.clone(), because]
        };
        let rows: Vec<Vec<String>> = hooks.iter().map(row).collect();
        let room = connections_max.map_or_else(String::new, |most| format!(", {connections} of {most} connections"));
        text.push_str(&format!("\nServed by {name}{room}, on\n{}", table(&rows, 2)));
    }
    let met = reasons.iter().filter(|(_, count)| **count > 0);
    let rows: Vec<Vec<String>> = met.map(|(reason, count)| vec![count.to_string(), reason.replace('_', " ")]).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\nPackets not forwarded as usual ({name})\n{}", table(&rows, 2)));
    }
    text
}

fn instances(all: &[InstanceStatus]) -> Vec<Vec<String>> {
    let head = ["NAME", "STATE", "SINCE", "PRIO", "IF/VRID", "PEER", "ADVERTS TX/RX", "ADDRESSES", "BECAUSE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in all {
        let priority = if one.priority == one.effective_priority {
            one.priority.to_string()
        } else {
            format!("{} ({})", one.effective_priority, one.priority)
        };
        let peer = one.peer.as_ref().map_or_else(
            || "-".to_owned(),
            |peer| format!("{} prio {} {:.1} s ago", peer.address, peer.priority, peer.heard_s_ago),
        );
        rows.push(vec![
            one.name.clone(),
            one.state.clone(),
            format!("{:.1} s", one.since_s),
            priority,
            format!("{}/{}", one.interface, one.vrid),
            peer,
            format!("{}/{}", one.adverts_sent, one.adverts_received),
            one.addresses.join(" "),
            one.because.clone(),
        ]);
    }
    rows
}

fn virtual_server(server: &VirtualServerStatus) -> String {
    let mut text = format!(
        "{}  {} {} on {}, {}: live weight {} of quorum {}, {} connections, {}/{} packets in/out\n",
        server.service,
        server.scheduler,
        server.forwarding,
        server.plane,
        server.state,
        server.live_weight,
        server.quorum,
        server.connections,
        server.packets_in,
        server.packets_out,
    );
    let head = ["REAL SERVER", "STATE", "SINCE", "WEIGHT", "ACTIVE", "INACTIVE", "CONNS", "LAST CHECK"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(server.real_servers.iter().map(real_server));
    text.push_str(&table(&rows, 2));
    text
}

fn real_server(server: &RealServerStatus) -> Vec<String> {
    let weight = if server.weight == server.configured_weight {
        server.weight.to_string()
    } else {
        format!("{} ({})", server.weight, server.configured_weight)
    };
    let checks: Vec<String> = server
        .checks
        .iter()
        .map(|check| {
            let latency = check.latency_ms.map_or_else(String::new, |latency| format!(" in {latency:.1} ms"));
            let age = check.age_s.map_or_else(String::new, |age| format!(", {age:.1} s ago"));
            // What its last result says of a server is not what counts while no result comes.
            let silent = match check.state.as_str() {
                "stale" => "NO RESULT ANY MORE; ",
                "resting" => "rests, since no address of the service is here; ",
                _ => "",
            };
            let last = check.last.as_deref().unwrap_or("not checked yet");
            format!("{}: {silent}{last}{latency}{age}", check.kind)
        })
        .collect();
    vec![
        server.address.clone(),
        match &server.by_operator {
            Some(wish) => format!("{} (operator: {wish})", server.state),
            None => server.state.clone(),
        },
        server.since_s.map_or_else(|| "-".to_owned(), |since| span(since_whole(since))),
        weight,
        server.active.to_string(),
        server.inactive.to_string(),
        server.connections.to_string(),
        if checks.is_empty() { "no checker".to_owned() } else { checks.join("; ") },
    ]
}

/// Whole seconds of what the daemon measured.
fn since_whole(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs()
}

/// Seconds as `3d 4h`, `2h 5m`, `4m 1s`, `7s`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, 1..) => format!("{minutes}m {rest}s"),
        (0, 1.., _) => format!("{hours}h {minutes}m"),
        (1.., _, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests;
