//! `metrics_listen`: what Prometheus reads over TCP, and that a reload moves it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE};

/// The whole answer, head and body; nothing where nobody listens.
fn get(host: &Host, at: &str, target: &str) -> Option<String> {
    let at: SocketAddr = at.parse().unwrap();
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    host.namespace.inside(exchange).unwrap().ok()
}

#[test]
fn metrics_are_served_where_the_file_says_and_follow_a_reload() {
    let host = Host::new();
    host.ip("link set lo up");
    let config = host.config(&format!("global_defs {{\nmetrics_listen 127.0.0.1\n}}\n{INSTANCE}"));
    let running = host.start(&config);
    let master = "keepalived_vrrp_state{iname=\"VI_1\",intf=\"eth0\",vrid=\"7\",ip_address=\"192.0.2.100\"} 2.0\n";
    let mut last = None;
    until("the scrape says MASTER", PATIENCE, || {
        last = get(&host, "127.0.0.1:9165", "/metrics");
        last.as_ref().is_some_and(|text| text.contains(master))
    })
    .unwrap_or_else(|error| panic!("{error}: {last:?}\n{}", host.log()));
    let text = last.unwrap().to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200 ok\r\n") && text.ends_with("# eof\n"), "{text}");
    assert!(text.contains("content-type: application/openmetrics-text;"), "{text}");
    let other = get(&host, "127.0.0.1:9165", "/config").unwrap();
    assert!(other.starts_with("HTTP/1.1 404 "), "strangers read metrics and nothing else: {other}");

    let output = host.vipd(&["metrics", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(master), "{output:?}");

    host.config(&format!("global_defs {{\nmetrics_listen 127.0.0.1 9166\n}}\n{INSTANCE}"));
    running.signal(nix::sys::signal::Signal::SIGHUP);
    until("the other port answers", PATIENCE, || get(&host, "127.0.0.1:9166", "/metrics").is_some()).unwrap();
    until("the first one does not", PATIENCE, || get(&host, "127.0.0.1:9165", "/metrics").is_none()).unwrap();
}
