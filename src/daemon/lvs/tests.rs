//! The task with a plane in memory that can be changed and broken from outside.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::*;
use crate::base::Weight;
use crate::daemon::wishes;
use crate::lvs::datapath::Capabilities;
use crate::lvs::datapath::Datapath;
use crate::lvs::io::memory::Memory;
use crate::lvs::io::plane::Plane;
use crate::lvs::ipvsadm::{Change, SyncDaemon, SyncRole, Timeouts};
use crate::lvs::pool::{PoolEvent, RealServer, Start, Wish};
use crate::lvs::table::{DestinationKey, Forwarding, Protocol, Scheduler, SchedulerFlags, Service};

#[derive(Clone, Debug)]
struct Shared {
    memory: Arc<Mutex<Memory>>,
    broken: Arc<Mutex<bool>>,
    applied: Arc<Mutex<Vec<Step>>>,
    timeouts: Arc<Mutex<Timeouts>>,
    sync: Arc<Mutex<Vec<SyncDaemon>>>,
}

impl Shared {
    fn new(memory: Memory) -> Self {
        Self {
            memory: Arc::new(Mutex::new(memory)),
            broken: Arc::default(),
            applied: Arc::default(),
            timeouts: Arc::new(Mutex::new(Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 })),
            sync: Arc::default(),
        }
    }

    fn table(&self) -> Table {
        self.memory.lock().unwrap().table().clone()
    }

    fn meddle(&self, step: &Step) {
        self.memory.lock().unwrap().apply_one(step).unwrap();
    }

    fn set_broken(&self, broken: bool) {
        *self.broken.lock().unwrap() = broken;
    }
}

impl Manual for Shared {
    async fn change(&mut self, changes: &[Change]) -> Vec<Result<(), Refusal>> {
        for change in changes {
            match change {
                Change::Set(timeouts) => *self.timeouts.lock().unwrap() = *timeouts,
                Change::StartDaemon(daemon) => {
                    // The kernel fills in what is not asked for.
                    self.sync.lock().unwrap().push(SyncDaemon { port: 8848, ttl: 1, ..daemon.clone() });
                }
                Change::StopDaemon(role) => self.sync.lock().unwrap().retain(|daemon| daemon.role != *role),
                Change::Step(_) | Change::Clear | Change::Zero(_) => panic!("{change:?}"),
            }
        }
        changes.iter().map(|_| Ok(())).collect()
    }

    async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        Ok(*self.timeouts.lock().unwrap())
    }

    async fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, DatapathError> {
        Ok(self.sync.lock().unwrap().clone())
    }
}

impl Datapath for Shared {
    fn capabilities(&self) -> Capabilities {
        self.memory.lock().unwrap().capabilities()
    }

    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        Ok(self.table())
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        if *self.broken.lock().unwrap() {
            return Err(ApplyError { tried: steps.len(), failed: vec![(steps[0], DatapathError::NoIpvs)] });
        }
        for step in steps {
            self.meddle(step);
        }
        self.applied.lock().unwrap().extend_from_slice(steps);
        Ok(())
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        Ok(Counters::default())
    }
}

struct Running {
    plane: Shared,
    commands: mpsc::Sender<LvsCommand>,
    views: watch::Receiver<LvsView>,
    events: mpsc::Receiver<LvsEvent>,
    task: JoinHandle<()>,
}

fn start(memory: Memory, resync: Duration, flush_at_start: bool) -> Running {
    let settings =
        LvsSettings { owned: BTreeSet::new(), flush_at_start, resync, wishes: vec![], known: vec![], state_dir: None };
    start_with(memory, settings)
}

fn start_with(memory: Memory, settings: LvsSettings) -> Running {
    let plane = Shared::new(memory);
    let (commands, taken) = mpsc::channel(64);
    let (published, views) = watch::channel(LvsView::default());
    let (told, events) = mpsc::channel(64);
    let ours = plane.clone();
    let task = tokio::spawn(async { drop(run(ours, settings, taken, published, told).await) });
    Running { plane, commands, views, events, task }
}

const NEVER: Duration = Duration::from_hours(1);

fn service(n: u8) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, addr: Ipv4Addr::new(192, 0, 2, n).into(), port: 80 }
}

fn at(n: u8) -> DestinationKey {
    DestinationKey { addr: Ipv4Addr::new(10, 0, 0, n).into(), port: 80 }
}

fn pool(n: u8) -> PoolSettings {
    let real = RealServer {
        forwarding: Forwarding::Masq,
        weight: Weight::ONE,
        inhibit_on_failure: false,
        upper_threshold: 0,
        lower_threshold: 0,
        start: Start::Up,
    };
    PoolSettings {
        id: PoolId::Service(service(n)),
        services: vec![service(n)],
        service: rr(),
        locals: crate::lvs::datapath::Locals::default(),
        quorum: 1,
        hysteresis: 0,
        omega: false,
        sorry_server: None,
        slow_start: Duration::ZERO,
        drain_time: Duration::ZERO,
        init_notifies: false,
        real_servers: [(at(1), real), (at(2), real)].into(),
    }
}

fn rr() -> Service {
    Service { scheduler: Scheduler::Rr, flags: SchedulerFlags::default(), persistence: None, one_packet: false }
}

fn down(n: u8) -> LvsCommand {
    LvsCommand::Health { pool: PoolId::Service(service(1)), event: Event::Down { real_server: at(n) } }
}

impl Running {
    async fn reconfigure(&self, pools: Vec<PoolSettings>) -> Result<(), ReconfigureError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(LvsCommand::Reconfigure { pools, reply }).await.unwrap();
        answer.await.unwrap()
    }

    async fn shut_down(self, flush: bool) -> Shared {
        let (reply, answer) = oneshot::channel();
        self.commands.send(LvsCommand::Shutdown { flush, reply }).await.unwrap();
        answer.await.unwrap().unwrap();
        self.task.await.unwrap();
        self.plane
    }

    /// The next event that is not of a pool.
    async fn told(&mut self) -> LvsEvent {
        let deadline = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let event = self.events.recv().await.expect("the task ended");
                if !matches!(event, LvsEvent::Pool { .. }) {
                    return event;
                }
            }
        });
        deadline.await.expect("no event within the deadline")
    }

    async fn view(&mut self, wanted: impl FnMut(&LvsView) -> bool) -> LvsView {
        let deadline = tokio::time::timeout(Duration::from_secs(10), self.views.wait_for(wanted));
        deadline.await.expect("no such view within the deadline").expect("the task ended").clone()
    }
}

fn services(table: &Table) -> Vec<ServiceKey> {
    table.services.keys().copied().collect()
}

#[tokio::test]
async fn a_configuration_is_in_the_plane_when_it_is_answered_and_gone_after_a_flush() {
    let theirs = Step::AddService(service(9), rr());
    let mut memory = Memory::new();
    memory.apply_one(&theirs).unwrap();
    let running = start(memory, NEVER, false);
    running.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    assert_eq!(services(&running.plane.table()), [service(1), service(2), service(9)]);
    running.reconfigure(vec![pool(2)]).await.unwrap();
    assert_eq!(services(&running.plane.table()), [service(2), service(9)]);
    let plane = running.shut_down(true).await;
    assert_eq!(services(&plane.table()), [service(9)], "somebody else's stays");
}

#[tokio::test]
async fn without_a_flush_the_plane_goes_on_when_the_task_ends() {
    let running = start(Memory::new(), NEVER, false);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    let plane = running.shut_down(false).await;
    assert_eq!(plane.table().services[&service(1)].destinations.len(), 2);
}

#[tokio::test]
async fn a_flush_at_start_deletes_once_what_the_configuration_does_not_name() {
    let mut memory = Memory::new();
    for n in [1, 9] {
        memory.apply_one(&Step::AddService(service(n), rr())).unwrap();
    }
    let running = start(memory, NEVER, true);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    assert_eq!(services(&running.plane.table()), [service(1)]);
    let steps = running.plane.applied.lock().unwrap().clone();
    assert!(!steps.contains(&Step::DeleteService(service(1))), "what stays is not interrupted: {steps:?}");
    running.plane.meddle(&Step::AddService(service(9), rr()));
    running.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    assert_eq!(services(&running.plane.table()), [service(1), service(2), service(9)]);
}

#[tokio::test]
async fn health_reaches_the_plane_the_view_and_the_listeners() {
    let mut running = start(Memory::new(), NEVER, false);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    running.commands.send(down(1)).await.unwrap();
    running.commands.send(down(2)).await.unwrap();
    let view = running.view(|view| view.pools.first().is_some_and(|pool| !pool.quorum_up)).await;
    assert_eq!((view.plane.as_str(), view.refused), ("memory", None));
    assert_eq!(running.plane.table().services[&service(1)].destinations.len(), 0);
    let mut told = vec![];
    while let Ok(LvsEvent::Pool { event, .. }) = running.events.try_recv() {
        told.push(event);
    }
    assert_eq!(
        told,
        [
            PoolEvent::QuorumGained { weight: 2, threshold: 1 },
            PoolEvent::RealServerDown { real_server: at(1) },
            PoolEvent::RealServerDown { real_server: at(2) },
            PoolEvent::QuorumLost { weight: 0, threshold: 1 },
        ]
    );
}

#[tokio::test]
async fn a_flap_within_one_burst_does_not_reach_the_plane() {
    let mut running = start(Memory::new(), NEVER, false);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    let before = running.plane.applied.lock().unwrap().len();
    let up = Event::Up { real_server: at(1) };
    // The runtime has one thread: the task sees nothing until this test waits.
    running.commands.try_send(down(1)).unwrap();
    running.commands.try_send(LvsCommand::Health { pool: PoolId::Service(service(1)), event: up }).unwrap();
    running.commands.try_send(down(2)).unwrap();
    running.view(|view| view.pools.first().is_some_and(|pool| pool.live_weight == 1)).await;
    let steps = running.plane.applied.lock().unwrap().split_off(before);
    assert_eq!(steps, [Step::DeleteDestination(service(1), at(2))]);
}

#[tokio::test]
async fn what_the_plane_cannot_do_is_refused_and_the_old_configuration_stays() {
    let mut able = Memory::new().capabilities();
    able.schedulers = [Scheduler::Rr].into();
    let running = start(Memory::like(able), NEVER, false);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    let before = running.plane.table();
    let mut odd = pool(1);
    odd.service.scheduler = Scheduler::Mh;
    let refused = running.reconfigure(vec![odd, pool(2)]).await.unwrap_err();
    assert!(matches!(&refused, ReconfigureError::Unsupported(unmet) if unmet.len() == 1), "{refused}");
    let shared = running.reconfigure(vec![pool(2), pool(2)]).await.unwrap_err();
    assert!(matches!(shared, ReconfigureError::Pools(PoolsError::Twice { .. })), "{shared}");
    assert_eq!(running.plane.table(), before);
    assert_eq!(running.views.borrow().pools.len(), 1);
}

#[tokio::test]
async fn a_refused_change_is_tried_again_until_the_plane_follows() {
    let mut running = start(Memory::new(), NEVER, false);
    running.plane.set_broken(true);
    let pending = running.reconfigure(vec![pool(1)]).await.unwrap_err();
    assert!(matches!(pending, ReconfigureError::Pending(_)), "{pending}");
    assert!(matches!(running.told().await, LvsEvent::Refused { retry_in: RETRY_MIN, .. }));
    let LvsEvent::Refused { retry_in, .. } = running.told().await else { panic!("a second refusal") };
    assert_eq!(retry_in, RETRY_MIN * 2, "the pause grows");
    running.plane.set_broken(false);
    while running.told().await != LvsEvent::Recovered {}
    assert_eq!(running.plane.table().services[&service(1)].destinations.len(), 2);
    assert_eq!(running.view(|view| view.refused.is_none()).await.refused, None);
}

#[tokio::test]
async fn what_somebody_else_changes_of_ours_is_repaired_and_told() {
    let mut running = start(Memory::new(), Duration::from_millis(10), false);
    running.reconfigure(vec![pool(1)]).await.unwrap();
    let wanted = running.plane.table();
    running.plane.meddle(&Step::AddService(service(9), rr()));
    running.plane.meddle(&Step::DeleteDestination(service(1), at(2)));
    let LvsEvent::ForeignChange { repair } = running.told().await else { panic!("a repair") };
    assert_eq!(repair.len(), 1, "{repair:?}");
    let deadline = tokio::time::timeout(Duration::from_secs(10), async {
        while running.plane.table().services[&service(1)] != wanted.services[&service(1)] {
            tokio::task::yield_now().await;
        }
    });
    deadline.await.expect("not repaired within the deadline");
    assert!(running.plane.table().services.contains_key(&service(9)), "their own service is theirs");
}

#[tokio::test]
async fn a_full_queue_of_events_loses_and_counts_but_does_not_hold_forwarding_up() {
    let mut running = start(Memory::new(), NEVER, false);
    for round in 0..100_u8 {
        running.reconfigure(vec![pool(round)]).await.unwrap();
    }
    let view = running.view(|view| view.events_lost > 0).await;
    assert_eq!(view.events_lost, 100 - 64);
    assert_eq!(services(&running.plane.table()), [service(99)]);
}

#[tokio::test]
async fn a_snapshot_shows_services_of_others_too_and_the_planes_can_be_spawned() {
    let mut memory = Memory::new();
    memory.apply_one(&Step::AddService(service(9), rr())).unwrap();
    let (commands, taken) = mpsc::channel(4);
    let (published, _views) = watch::channel(LvsView::default());
    let (told, _events) = mpsc::channel(4);
    let settings = LvsSettings {
        owned: BTreeSet::new(),
        flush_at_start: false,
        resync: NEVER,
        wishes: vec![],
        known: vec![],
        state_dir: None,
    };
    let task = tokio::spawn(run(Plane::Memory(memory), settings, taken, published, told));
    let (reply, answer) = oneshot::channel();
    commands.send(LvsCommand::Snapshot { reply }).await.unwrap();
    let Seen { table, counters, reasons } = answer.await.unwrap().unwrap();
    assert_eq!(services(&table), [service(9)]);
    assert!(counters.services.contains_key(&service(9)));
    assert_eq!(reasons, []);
    drop(commands);
    task.await.unwrap();
}

#[tokio::test]
async fn an_operators_wish_is_in_the_plane_when_it_is_answered_and_outlives_a_reload() {
    let running = start(Memory::new(), NEVER, false);
    running.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    let wish = |service: Option<&str>, wish| WishAsked { real_server: at(1), service: service.map(Into::into), wish };
    let ask = async |asked| {
        let (reply, answer) = oneshot::channel();
        running.commands.send(LvsCommand::Wish { asked, reply }).await.unwrap();
        answer.await.unwrap().unwrap()
    };
    let weight = |n| running.plane.table().services[&service(n)].destinations.get(&at(1)).map(|to| to.weight.get());
    let both: Vec<_> = [1, 2].map(|n| PoolId::Service(service(n))).into();
    assert_eq!(ask(wish(None, Some(Wish::Drain))).await, both);
    assert_eq!((weight(1), weight(2)), (Some(0), Some(0)));
    let named = service(2).to_string();
    let without_protocol = named.split_once(' ').unwrap().1;
    assert_eq!(ask(wish(Some(without_protocol), Some(Wish::Disable))).await, both[1..]);
    running.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    assert_eq!((weight(1), weight(2)), (Some(0), None));
    assert_eq!(ask(wish(Some(&named), None)).await, both[1..]);
    assert_eq!((weight(1), weight(2)), (Some(0), Some(1)));
    assert_eq!(ask(wish(Some("TCP group none"), None)).await, []);
}

#[tokio::test]
async fn an_operators_wish_outlives_a_restart_but_not_its_real_server() {
    let dir = tempfile::tempdir().unwrap();
    let begin = || {
        let (wishes, state_dir) = (wishes::read(dir.path()), Some(dir.path().to_owned()));
        let owned = BTreeSet::new();
        start_with(
            Memory::new(),
            LvsSettings { owned, flush_at_start: false, resync: NEVER, wishes, known: vec![], state_dir },
        )
    };
    let weight = |running: &Running, n| {
        running.plane.table().services[&service(n)].destinations.get(&at(1)).map(|to| to.weight.get())
    };
    let first = begin();
    first.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    let (reply, answer) = oneshot::channel();
    let asked = WishAsked { real_server: at(1), service: None, wish: Some(Wish::Drain) };
    first.commands.send(LvsCommand::Wish { asked, reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    drop(first);
    let second = begin();
    second.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    assert_eq!((weight(&second, 1), weight(&second, 2)), (Some(0), Some(0)), "it holds from the beginning");
    second.reconfigure(vec![pool(1)]).await.unwrap();
    drop(second);
    let third = begin();
    third.reconfigure(vec![pool(1), pool(2)]).await.unwrap();
    assert_eq!((weight(&third, 1), weight(&third, 2)), (Some(0), Some(1)), "what a reload removed is forgotten");
}

#[tokio::test]
async fn timeouts_and_sync_daemons_are_as_wanted_and_as_found_when_it_ends() {
    let running = start(Memory::new(), NEVER, false);
    let found = Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 };
    let daemon =
        |role| SyncDaemon { role, interface: "eth0".into(), sync_id: 7, max_len: 0, group: None, port: 0, ttl: 0 };
    let asked = Timeouts { tcp_s: 60, tcp_fin_s: 0, udp_s: 5 };
    let set = Timeouts { tcp_s: 60, tcp_fin_s: 120, udp_s: 5 };
    let (master, backup) = (daemon(SyncRole::Master), daemon(SyncRole::Backup));
    let rows = [
        ("nothing is asked", None, None, found, vec![]),
        ("a backup", Some(asked), Some(vec![backup.clone()]), set, vec![SyncRole::Backup]),
        ("the same again", Some(asked), Some(vec![backup.clone()]), set, vec![SyncRole::Backup]),
        ("a takeover", Some(asked), Some(vec![master.clone()]), set, vec![SyncRole::Master]),
        ("both", None, Some(vec![master.clone(), backup.clone()]), found, vec![SyncRole::Master, SyncRole::Backup]),
        ("no more", Some(asked), None, set, vec![]),
    ];
    for (name, timeouts, sync, held, roles) in rows {
        running.commands.send(LvsCommand::Tune(Tuning { timeouts, sync, ..Tuning::default() })).await.unwrap();
        running.reconfigure(vec![pool(1)]).await.unwrap();
        assert_eq!(*running.plane.timeouts.lock().unwrap(), held, "{name}");
        let runs: Vec<_> = running.plane.sync.lock().unwrap().iter().map(|daemon| daemon.role).collect();
        assert_eq!(runs, roles, "{name}");
    }
    running.commands.send(LvsCommand::Tune(Tuning { sync: Some(vec![master]), ..Tuning::default() })).await.unwrap();
    let (reply, answer) = oneshot::channel();
    running.commands.send(LvsCommand::Shutdown { flush: true, reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    assert_eq!((*running.plane.timeouts.lock().unwrap(), running.plane.sync.lock().unwrap().len()), (found, 0));
}
