//! Trees of texts whose braces do not fit. What keepalived 2.2.7 reads of each was looked at in its dump.

use crate::config::parse::tests::read;

#[test]
fn braces_too_many_are_passed_over_and_those_too_few_are_put_in() {
    let rows: [(&str, &str, &str, &[&str]); 16] = [
        (
            "on a line of its own",
            "vrrp_instance A {\npriority 7\n{\nstate BACKUP\n}\nvrrp_instance B {\n}",
            "vrrp_instance A[priority 7; state BACKUP]; vrrp_instance B[]",
            &["unexpected-block"],
        ),
        (
            "balanced: the first `}` closes the instance",
            "vrrp_instance A {\nnopreempt {\npriority 7\n}\nstate BACKUP\n}",
            "vrrp_instance A[nopreempt; priority 7]; state BACKUP",
            &["unexpected-block", "surplus-brace"],
        ),
        (
            "behind a block",
            "vrrp_instance A {\nauthentication {\n}\n{\npriority 7\n}",
            "vrrp_instance A[authentication[]; priority 7]",
            &["stray-brace"],
        ),
        (
            "in a list",
            "vrrp_instance A {\nvirtual_ipaddress {\n192.0.2.1 {\n}\npriority 7\n}",
            "vrrp_instance A[virtual_ipaddress[192.0.2.1]; priority 7]",
            &["unexpected-block"],
        ),
        (
            "a list that is not closed",
            "vrrp_instance A {\nvirtual_ipaddress {\n192.0.2.1\ntrack_file {\nf\n}\n}\nvrrp_instance B {\n}",
            "vrrp_instance A[virtual_ipaddress[192.0.2.1; track_file; f]]; vrrp_instance B[]",
            &["unexpected-block"],
        ),
        (
            "of a word that nobody knows",
            "vrrp_instance A {\nx {\npriority 7\n}\nstate BACKUP\n}",
            "vrrp_instance A[x[priority 7]; state BACKUP]",
            &[],
        ),
        (
            "of a word of the past",
            "virtual_server 192.0.2.1 80 {\nreal_server 192.0.2.2 80 {\nMISC_CHECK {\n}\n}\n}",
            "virtual_server 192.0.2.1 80[real_server 192.0.2.2 80[MISC_CHECK[]]]",
            &[],
        ),
        (
            "none before a list",
            "vrrp_instance A {\nvirtual_ipaddress\n192.0.2.1\n192.0.2.2\n}\npriority 7\n}",
            "vrrp_instance A[virtual_ipaddress(192.0.2.1; 192.0.2.2); priority 7]",
            &[],
        ),
        (
            "none around a list",
            "vrrp_instance A {\nvirtual_ipaddress\n192.0.2.1\npriority 7\n}\nvrrp_instance B {\n}",
            "vrrp_instance A[virtual_ipaddress(192.0.2.1); priority 7]; vrrp_instance B[]",
            &[],
        ),
        (
            "none, and nothing that belongs to it",
            "vrrp_instance A {\nvirtual_ipaddress\npriority 7\n}",
            "vrrp_instance A[virtual_ipaddress; priority 7]",
            &[],
        ),
        (
            "none, and a `}`",
            "vrrp_instance A {\nvirtual_ipaddress\n}\nvrrp_instance B {\n}",
            "vrrp_instance A[virtual_ipaddress]; vrrp_instance B[]",
            &[],
        ),
        (
            "none before an instance",
            "vrrp_instance A\npriority 7\nvirtual_ipaddress {\n192.0.2.1\n}\n}\nglobal_defs {\n}",
            "vrrp_instance A(priority 7; virtual_ipaddress[192.0.2.1]); global_defs[]",
            &[],
        ),
        (
            "none at all",
            "vrrp_instance A\npriority 7\nvirtual_ipaddress\n192.0.2.1\nvrrp_instance B\npriority 8\n",
            "vrrp_instance A(priority 7; virtual_ipaddress(192.0.2.1)); vrrp_instance B(priority 8)",
            &[],
        ),
        (
            "none at the end of the file",
            "vrrp_instance A {\nvirtual_ipaddress\n192.0.2.1",
            "vrrp_instance A[virtual_ipaddress(192.0.2.1)]",
            &["missing-brace"],
        ),
        (
            "none in three blocks",
            "virtual_server 192.0.2.1 80\nlb_algo rr\nreal_server 192.0.2.2 80\nTCP_CHECK\nconnect_timeout 3\n}\n}\n}\nglobal_defs {\n}",
            "virtual_server 192.0.2.1 80(lb_algo rr; real_server 192.0.2.2 80(TCP_CHECK(connect_timeout 3))); global_defs[]",
            &[],
        ),
        ("a name that both blocks know", "vrrp_instance A\ninterface eth0\n}", "vrrp_instance A(interface eth0)", &[]),
    ];
    for (name, text, tree, problems) in rows {
        let (found, codes) = read(text);
        assert_eq!(found, tree, "{name}");
        assert_eq!(codes, problems, "{name}");
    }
}
