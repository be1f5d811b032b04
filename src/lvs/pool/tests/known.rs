//! Pools that begin with what an earlier process knew.

use super::*;
use crate::base::WeightWish;

#[test]
fn what_is_known_of_real_servers_counts_from_the_start_and_is_told_to_nobody() {
    let mut alpha = PoolSettings { quorum: 2, slow_start: Duration::from_secs(10), ..settings(&[1, 1, 1]) };
    alpha.real_servers.values_mut().for_each(|real| real.start = Start::Down);
    let up = |n| Event::Up { real_server: rs(n) };
    let asked = Event::Weight { real_server: rs(2), weight: Some(WeightWish::Exactly(Weight::new(5).unwrap())) };
    let known = [up(1), up(2), asked, Event::Down { real_server: rs(3) }, up(9)];
    let (mut pool, told) = Pool::new(alpha, &known);
    assert_eq!(told, [PoolEvent::QuorumGained { weight: 6, threshold: 2 }], "the first verdict alone");
    let weights: Vec<_> = pool.desired()[0].1.destinations.values().map(|to| to.weight.get()).collect();
    assert_eq!(weights, [1, 5], "no share has to grow");
    for event in known.into_iter().filter(|event| event.real_server() != rs(9)) {
        assert_eq!(pool.handle(event), Ok(vec![]), "the checkers say it too");
    }
    let (mut unchecked, _) = {
        let mut settings = settings(&[1]);
        settings.real_servers.values_mut().for_each(|real| real.start = Start::Unchecked);
        Pool::new(settings, &[Event::Down { real_server: rs(1) }])
    };
    assert!(unchecked.has_quorum(), "who is not checked is up");
    assert_eq!(unchecked.handle(up(1)), Ok(vec![]));
}

#[test]
fn who_asks_to_be_told_at_first_is_told_of_what_was_known() {
    let of = |init_notifies| PoolSettings { init_notifies, ..settings(&[1, 1]) };
    let known = [Event::Down { real_server: rs(1) }, Event::Up { real_server: rs(2) }];
    for init_notifies in [false, true] {
        let (mut pool, _) = Pool::new(of(init_notifies), &known);
        let told = known.map(|event| pool.handle(event).unwrap());
        let down = PoolEvent::RealServerDown { real_server: rs(1) };
        let up = PoolEvent::RealServerUp { real_server: rs(2) };
        assert_eq!(told, if init_notifies { [vec![down], vec![up]] } else { [vec![], vec![]] });
        assert_eq!(known.map(|event| pool.handle(event).unwrap()), [vec![], vec![]], "once");
    }
}
