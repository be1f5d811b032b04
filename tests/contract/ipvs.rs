//! What only the kernel's IPVS can be asked: that `ipvsadm` sees what we asked for, and what it prints.

use std::process::Command;

use vipd::lvs::datapath::Datapath;
use vipd::lvs::io::ipvs::Ipvs;
use vipd::lvs::ipvsadm::Timeouts;
use vipd::lvs::plan::{Scope, plan};
use vipd::lvs::table::Table;
use vipd::lvs::view::{Header, Listing, list};

use crate::tables;

/// Hold the plane to what ipvsadm says; it ends empty.
pub async fn run(plane: &mut Ipvs) {
    plane.flush().await.expect("flush");
    ipvsadm_prints_what_we_print(plane).await;
    what_ipvsadm_made_is_read(plane).await;
    timeouts_are_set_and_read(plane).await;
    plane.flush().await.expect("flush");
}

async fn ipvsadm_prints_what_we_print(plane: &mut Ipvs) {
    let capabilities = plane.capabilities();
    let mut table = Table::default();
    for (_, feature) in tables::every_feature() {
        if capabilities.check_table(&feature).is_empty() {
            table.services.extend(feature.services);
        }
    }
    plane.apply(&plan(&Table::default(), &table, &Scope::default())).await.expect("all features");
    let info = plane.info().await.expect("info");
    let header = Header { version: info.version, table_size: info.table_size };
    let counters = plane.counters().await.expect("counters");
    let rows: [(Listing, &[&str]); 8] = [
        (Listing::Table, &["-Ln"]),
        (Listing::Thresholds, &["-Ln", "--thresholds"]),
        (Listing::TunnelInfo, &["-Ln", "--tun-info"]),
        (Listing::PersistentConnections, &["-Ln", "--persistent-conn"]),
        (Listing::Stats { exact: false }, &["-Ln", "--stats"]),
        (Listing::Stats { exact: true }, &["-Ln", "--stats", "--exact"]),
        (Listing::Rate { exact: false }, &["-Ln", "--rate"]),
        (Listing::Rate { exact: true }, &["-Ln", "--rate", "--exact"]),
    ];
    for (listing, arguments) in rows {
        assert_eq!(list(header, &table, &counters, listing), ipvsadm(arguments), "{arguments:?}");
    }
}

async fn what_ipvsadm_made_is_read(plane: &mut Ipvs) {
    let before = plane.snapshot().await.expect("snapshot");
    assert!(before.services.len() > 20, "the table of the promise before is there");
    let saved = ipvsadm(&["-Sn"]);
    plane.flush().await.expect("flush");
    for line in saved.lines() {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        ipvsadm(&arguments);
    }
    let mut after = plane.snapshot().await.expect("snapshot");
    // `ipvsadm -S` of version 1.31 leaves the thresholds out.
    let mut wanted = before;
    for entry in after.services.values_mut().chain(wanted.services.values_mut()) {
        entry.destinations.values_mut().for_each(|to| (to.upper_threshold, to.lower_threshold) = (0, 0));
    }
    assert_eq!(after, wanted);
}

async fn timeouts_are_set_and_read(plane: &mut Ipvs) {
    plane.set_timeouts(Timeouts { tcp_s: 800, tcp_fin_s: 0, udp_s: 30 }).await.expect("set");
    let got = plane.timeouts().await.expect("timeouts");
    assert_eq!((got.tcp_s, got.udp_s), (800, 30));
    assert!(got.tcp_fin_s > 0, "0 leaves it as it is");
    let said = ipvsadm(&["-l", "--timeout"]);
    assert!(said.contains(&format!("800 {} 30", got.tcp_fin_s)), "{said}");
}

fn ipvsadm(arguments: &[&str]) -> String {
    let output = Command::new("ipvsadm").args(arguments).output().expect("ipvsadm is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ipvsadm {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}
