//! Random routes and rules that a file without an error could hold.

use crate::base::{
    Beside, Family, Hop, MetricName, Route, RouteKind, RouteMetric, RouterPreference, Rule, RuleAction, WeightedHop,
};
use crate::config::model::{KernelRoute, KernelRule};
use crate::config::source::Span;

use super::{Choices, interface};

pub(super) fn route(choose: &mut Choices<'_>, at: u16) -> KernelRoute {
    let v6 = choose.seldom();
    let destination = if v6 { format!("2001:db8:{at}::/48") } else { format!("198.51.{at}.0/24") };
    let mut route = Route::new(destination.parse().unwrap());
    route.kind = RouteKind::ALL[usize::from(choose.below(8))].0;
    route.from = choose.maybe(|_| "2001:db8::/64".parse().unwrap());
    route.tos = choose.of(&[0, 0, 16, 255]);
    route.table = choose.of(&[254, 254, 100, 4_294_967_295]);
    route.protocol = choose.maybe(|choose| choose.of(&[4, 186]));
    route.scope = choose.maybe(|choose| choose.of(&[0, 253, 7]));
    route.metric = choose.maybe(|choose| choose.of(&[0, 100, u32::MAX]));
    route.src = choose.maybe(|_| "192.0.2.9".parse().unwrap());
    route.hop = hop(choose);
    if choose.seldom() {
        route.hops = (0..=choose.below(3))
            .map(|_| WeightedHop { hop: hop(choose), weight_less_one: choose.of(&[0, 1, 255]) })
            .collect();
    }
    route.expires_s = choose.maybe(|_| 600);
    route.realms = choose.maybe(|choose| choose.of(&[(0, 1), (2, 3)]));
    route.preference =
        choose.maybe(|choose| choose.of(&[RouterPreference::Low, RouterPreference::Medium, RouterPreference::High]));
    for (name, ..) in MetricName::ALL {
        if choose.seldom() {
            let ecn = name == MetricName::Features;
            let value = if ecn { 1 } else { choose.of(&[1, 1400]) };
            route.metrics.push(RouteMetric { name, value, locked: !ecn && choose.yes() });
        }
    }
    route.congestion = choose.maybe(|choose| ("cubic".to_owned(), choose.yes()));
    route.beside = choose.maybe(|choose| choose.of(&[Beside::Last, Beside::First]));
    let no_track = route.hop.dev.is_none() || route.protocol.is_some() || choose.seldom();
    KernelRoute { route, no_track, track_group: None, at: Span::default() }
}

fn hop(choose: &mut Choices<'_>) -> Hop {
    Hop {
        via: choose.maybe(|choose| choose.of(&["192.0.2.1", "2001:db8::1"]).parse().unwrap()),
        dev: if choose.yes() { Some(interface(choose)) } else { None },
        onlink: choose.seldom(),
    }
}

pub(super) fn rule(choose: &mut Choices<'_>, at: u16) -> KernelRule {
    let family = choose.of(&[Family::V4, Family::V6]);
    let network = |_: &mut Choices<'_>| match family {
        Family::V4 => "192.0.2.0/25".parse().unwrap(),
        Family::V6 => "2001:db8::/33".parse().unwrap(),
    };
    let actions = [
        RuleAction::Table(100),
        RuleAction::L3Mdev,
        RuleAction::Goto(30_000),
        RuleAction::Nop,
        RuleAction::Blackhole,
        RuleAction::Unreachable,
        RuleAction::Prohibit,
    ];
    let device = |choose: &mut Choices<'_>| interface(choose).to_string();
    let action = choose.of(&actions);
    let looks_up = matches!(action, RuleAction::Table(_) | RuleAction::L3Mdev);
    let rule = Rule {
        inverted: choose.seldom(),
        from: choose.maybe(network),
        to: choose.maybe(network),
        tos: choose.of(&[0, 8]),
        fwmark: choose.maybe(|choose| choose.of(&[(1, None), (7, Some(255))])),
        iif: choose.maybe(device),
        oif: choose.maybe(device),
        uids: choose.maybe(|_| (0, 1000)),
        ip_protocol: choose.maybe(|_| 6),
        source_ports: choose.maybe(|_| (1, 1024)),
        destination_ports: choose.maybe(|_| (80, 80)),
        tunnel_id: choose.maybe(|_| u64::MAX),
        realms: choose.maybe(|_| (0, 9)).filter(|_| looks_up && family == Family::V4),
        suppress_prefix_len: choose.maybe(|_| 0).filter(|_| looks_up),
        suppress_group: choose.maybe(|_| 3).filter(|_| looks_up),
        action,
        preference: Some(1000 + u32::from(at)),
        protocol: choose.maybe(|_| 4),
        ..Rule::new(family)
    };
    KernelRule { rule, track_group: None, at: Span::default() }
}
