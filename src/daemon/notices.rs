//! Who is to be told of what happened: from moves and pool events to the scripts of the configuration. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::daemon::translate::{Mails, PoolScripts, RealServerScripts, Scripts};
use crate::lvs::pool::{PoolEvent, PoolId};
use crate::lvs::table::{DestinationKey, ServiceKey};
use crate::notify::command::ScriptCommand;
use crate::notify::fifo::{Line, Told, endpoint};
use crate::notify::mail::{self, Mail};
use crate::notify::queue::NotifyKey;
use crate::notify::words::{Invocation, Notice, NotifyState, StateScripts, Subject};
use crate::vrrp::Standing;

/// Scripts to run, in the order of their subject, and what the FIFOs get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    pub key: NotifyKey,
    pub invocations: Vec<Invocation>,
    pub line: Option<Line>,
    pub mail: Option<Mail>,
}

/// What was told last, and the scripts that are told.
#[derive(Debug, Default)]
pub struct Notices {
    scripts: Arc<Scripts>,
    /// Of instances that a reload removed, until they have stopped.
    removed: BTreeMap<String, Arc<StateScripts>>,
    standings: BTreeMap<String, Standing>,
    /// The word that each instance was told of last: one that could not hand over is MASTER as before.
    told: BTreeMap<String, NotifyState>,
    groups_told: BTreeMap<String, NotifyState>,
}

impl Notices {
    /// Tell these from now on. States already told are not told again.
    pub fn reconfigure(&mut self, scripts: Arc<Scripts>) {
        let all = self.scripts.instances.iter().map(|(name, scripts)| (name.clone(), Arc::clone(scripts)));
        self.removed.extend(all);
        self.removed.retain(|name, _| !scripts.instances.contains_key(name));
        self.standings.retain(|name, _| scripts.instances.contains_key(name));
        self.told.retain(|name, _| scripts.instances.contains_key(name));
        self.groups_told.retain(|name, _| scripts.groups.iter().any(|group| group.name == *name));
        self.scripts = scripts;
    }

    /// A virtual router moved: its scripts, then those of its group where the group moved with it.
    pub fn moved(&mut self, instance: &str, to: Standing, priority: u8, because: &str) -> Vec<Telling> {
        if !self.scripts.instances.contains_key(instance) {
            return self.removed_moved(instance, to, priority).into_iter().collect();
        }
        self.standings.insert(instance.to_owned(), to);
        let mut telling = vec![];
        if let (Some(state), Some(scripts)) = (word(to), self.scripts.instances.get(instance))
            && self.told.insert(instance.to_owned(), state) != Some(state)
        {
            let notice = Notice { subject: Subject::Instance, name: instance.to_owned(), state, priority };
            telling.push(of(&notice, scripts, &self.scripts.mail, because));
        }
        telling.extend(self.group_of(instance, because));
        telling
    }

    /// An instance that left the configuration tells that it is gone, once, and only that.
    fn removed_moved(&mut self, instance: &str, to: Standing, priority: u8) -> Option<Telling> {
        if to != Standing::Stopped {
            return None;
        }
        let scripts = self.removed.remove(instance)?;
        let (name, state) = (instance.to_owned(), NotifyState::Deleted);
        let notice = Notice { subject: Subject::Instance, name, state, priority };
        Some(of(&notice, &scripts, &Mails::default(), ""))
    }

    /// A MASTER heard an advert of lower priority.
    pub fn lower_heard(&self, instance: &str, priority: u8) -> Option<Telling> {
        let scripts = self.scripts.instances.get(instance)?;
        let (subject, name) = (Subject::Instance, instance.to_owned());
        Some(Telling {
            key: NotifyKey(format!("instance {instance} lower")),
            invocations: scripts.lower_prio.clone().map(Invocation::plain).into_iter().collect(),
            line: Some(Line::Vrrp { subject, name, told: Told::MasterRxLowerPri, priority }),
            mail: None,
        })
    }

    /// The effective priority of an instance that tells of it is another one.
    pub fn priority_changed(&self, instance: &str, priority: u8) -> Option<Line> {
        let tells = self.scripts.priority_changes.contains(instance);
        let active = self.standings.get(instance) == Some(&Standing::Active);
        let told = if active { Told::MasterPriority } else { Told::BackupPriority };
        let (subject, name) = (Subject::Instance, instance.to_owned());
        tells.then_some(Line::Vrrp { subject, name, told, priority })
    }

    /// The states that were told last, for readers that came later.
    pub fn states(&self, priority: impl Fn(&str) -> u8) -> Vec<Line> {
        let instances = self.told.iter().map(|(name, state)| Line::Vrrp {
            subject: Subject::Instance,
            name: name.clone(),
            told: Told::State(*state),
            priority: priority(name),
        });
        let groups = self.groups_told.iter().map(|(name, state)| Line::Vrrp {
            subject: Subject::Group,
            name: name.clone(),
            told: Told::State(*state),
            priority: 0,
        });
        instances.chain(groups).collect()
    }

    fn group_of(&mut self, instance: &str, because: &str) -> Option<Telling> {
        let group = self.scripts.groups.iter().find(|group| group.members.iter().any(|member| member == instance))?;
        let standings = group.members.iter().map(|member| self.standings.get(member).copied());
        let state = together(standings)?;
        if self.groups_told.insert(group.name.clone(), state) == Some(state) {
            return None;
        }
        let notice = Notice { subject: Subject::Group, name: group.name.clone(), state, priority: 0 };
        Some(of(&notice, &group.scripts, &self.scripts.mail, because))
    }

    /// Something happened to a virtual server.
    pub fn pool(&self, pool: &PoolId, event: PoolEvent) -> Option<Telling> {
        let no_server = RealServerScripts::default();
        let no_pool = PoolScripts::default();
        let server = |at| self.scripts.real_servers.get(&(pool.clone(), at)).unwrap_or(&no_server);
        let pools = self.scripts.pools.get(pool).unwrap_or(&no_pool);
        let mails = &self.scripts.mail;
        let mail = match &event {
            PoolEvent::RealServerUp { real_server } | PoolEvent::RealServerDown { real_server } => {
                mails.real_servers.contains(&(pool.clone(), *real_server))
            }
            PoolEvent::QuorumGained { .. } | PoolEvent::QuorumLost { .. } => mails.pools.contains(pool),
            PoolEvent::SorryServerIn { .. } | PoolEvent::SorryServerOut { .. } | PoolEvent::WishDropped { .. } => false,
        };
        let (key, command, line) = match event {
            PoolEvent::RealServerUp { real_server } => {
                let line = real_server_line(pool, real_server, true);
                (format!("{real_server} of {pool}"), &server(real_server).up, line)
            }
            PoolEvent::RealServerDown { real_server } => {
                let line = real_server_line(pool, real_server, false);
                (format!("{real_server} of {pool}"), &server(real_server).down, line)
            }
            PoolEvent::QuorumGained { .. } => {
                (pool.to_string(), &pools.quorum_up, Line::Service { service: service_name(pool), up: true })
            }
            PoolEvent::QuorumLost { .. } => {
                (pool.to_string(), &pools.quorum_down, Line::Service { service: service_name(pool), up: false })
            }
            PoolEvent::SorryServerIn { .. } | PoolEvent::SorryServerOut { .. } | PoolEvent::WishDropped { .. } => {
                return None;
            }
        };
        let command: Option<ScriptCommand> = command.clone();
        let invocations = command.map(Invocation::plain).into_iter().collect();
        let mail = if mail { of_line(&line) } else { None };
        Some(Telling { key: NotifyKey(key), invocations, line: Some(line), mail })
    }
}

/// The alert of a line of the checkers.
fn of_line(line: &Line) -> Option<Mail> {
    match line {
        Line::Vrrp { .. } => None,
        Line::Service { service, up } => Some(mail::service(service, *up)),
        Line::RealServer { real_server, service, up } => Some(mail::real_server(real_server, service, *up)),
    }
}

/// Scripts, line and alert of one notice.
fn of(notice: &Notice, scripts: &StateScripts, mails: &Mails, because: &str) -> Telling {
    let (subject, name, priority) = match notice.subject {
        Subject::Instance => (format!("instance {}", notice.name), notice.name.clone(), notice.priority),
        Subject::Group => (format!("group {}", notice.name), notice.name.clone(), 0),
    };
    let told = Told::State(scripts.told(notice.state));
    let mailed = match notice.subject {
        Subject::Instance => mails.instances.contains(&notice.name),
        Subject::Group => mails.groups.contains(&notice.name),
    };
    let mailed = mailed && (mails.faults || notice.state != NotifyState::Fault);
    let mail = if mailed { mail::state(notice.subject, &notice.name, notice.state, because) } else { None };
    Telling {
        key: NotifyKey(subject),
        invocations: scripts.invocations(notice),
        line: Some(Line::Vrrp { subject: notice.subject, name, told, priority }),
        mail,
    }
}

/// As keepalived's checkers name a service in their FIFO.
fn service_name(pool: &PoolId) -> String {
    match pool {
        PoolId::Service(ServiceKey::Address { protocol, addr, port }) => endpoint(*addr, &protocol.to_string(), *port),
        PoolId::Service(ServiceKey::Fwmark { mark, family: _ }) => format!("FWM {mark}"),
        PoolId::Group { name, protocol: _ } => format!("[{name}]:0"),
    }
}

fn real_server_line(pool: &PoolId, real_server: DestinationKey, up: bool) -> Line {
    let protocol = match pool {
        PoolId::Service(ServiceKey::Address { protocol, .. }) | PoolId::Group { protocol, .. } => protocol.to_string(),
        PoolId::Service(ServiceKey::Fwmark { .. }) => "tcp".to_owned(),
    };
    let DestinationKey { addr, port } = real_server;
    Line::RealServer { real_server: endpoint(addr, &protocol, port), service: service_name(pool), up }
}

/// What scripts are told of a state; `None`: nothing (a router that hands over still serves).
const fn word(standing: Standing) -> Option<NotifyState> {
    match standing {
        Standing::Active => Some(NotifyState::Master),
        Standing::Backup => Some(NotifyState::Backup),
        Standing::Fault => Some(NotifyState::Fault),
        Standing::Stopped => Some(NotifyState::Stop),
        Standing::Initialize | Standing::HandingOver => None,
    }
}

/// The state of a group: that of all its members, and nothing while they are on their way there. So the group is told
/// after the last of them, as keepalived does.
fn together(standings: impl Iterator<Item = Option<Standing>>) -> Option<NotifyState> {
    let states: Option<Vec<NotifyState>> = standings.map(|standing| standing.and_then(word)).collect();
    let states = states?;
    let first = *states.first()?;
    states.iter().all(|state| *state == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::daemon::translate::Group;
    use crate::lvs::table::Protocol;

    fn told(telling: &[Telling]) -> Vec<String> {
        let line = |Telling { key, invocations, line, mail: _ }: &Telling| {
            assert!(line.is_some(), "{key}: the FIFO is told as well");
            format!("{key}: {}", invocations.iter().map(|run| run.extra.join(" ")).collect::<Vec<_>>().join(", "))
        };
        telling.iter().map(line).collect()
    }

    fn notices() -> Notices {
        let every = StateScripts {
            every: Some(ScriptCommand::new(["/n".to_owned()], None).unwrap()),
            ..StateScripts::default()
        };
        let mut scripts = Scripts::default();
        scripts.instances.insert("A".to_owned(), every.clone().into());
        scripts.instances.insert("B".to_owned(), Arc::default());
        let members = vec!["A".to_owned(), "B".to_owned()];
        scripts.groups.push(Group { name: "G".to_owned(), members, scripts: every });
        let mut notices = Notices::default();
        notices.reconfigure(scripts.into());
        notices
    }

    #[test]
    fn a_group_is_told_after_the_last_of_its_members() {
        let mut notices = notices();
        let rows: [(&str, Standing, &[&str]); 13] = [
            ("A", Standing::Fault, &["instance A: INSTANCE A FAULT 150"]),
            ("B", Standing::Fault, &["instance B: ", "group G: GROUP G FAULT 0"]),
            ("A", Standing::Backup, &["instance A: INSTANCE A BACKUP 150"]),
            ("B", Standing::Backup, &["instance B: ", "group G: GROUP G BACKUP 0"]),
            ("B", Standing::Active, &["instance B: "]),
            ("A", Standing::Active, &["instance A: INSTANCE A MASTER 150", "group G: GROUP G MASTER 0"]),
            ("B", Standing::HandingOver, &[]),
            // Nobody took over: it is what it was told to be.
            ("B", Standing::Active, &[]),
            ("B", Standing::Backup, &["instance B: "]),
            ("A", Standing::HandingOver, &[]),
            ("A", Standing::Backup, &["instance A: INSTANCE A BACKUP 150", "group G: GROUP G BACKUP 0"]),
            ("B", Standing::Stopped, &["instance B: "]),
            ("A", Standing::Stopped, &["instance A: INSTANCE A STOP 150", "group G: GROUP G STOP 0"]),
        ];
        for (at, (instance, to, wanted)) in rows.into_iter().enumerate() {
            assert_eq!(told(&notices.moved(instance, to, 150, "")), wanted, "{at}: {instance} {to}");
        }
    }

    #[test]
    fn an_instance_that_a_reload_removes_is_told_to_be_gone() {
        let mut notices = notices();
        notices.moved("A", Standing::Active, 150, "");
        notices.reconfigure(Arc::default());
        assert_eq!(told(&notices.moved("A", Standing::HandingOver, 150, "")), Vec::<String>::new());
        assert_eq!(told(&notices.moved("A", Standing::Stopped, 150, "")), ["instance A: INSTANCE A FAULT 150"]);
        assert_eq!(told(&notices.moved("A", Standing::Stopped, 150, "")), Vec::<String>::new(), "once");
    }

    #[test]
    fn alerts_go_out_for_those_that_ask_and_for_faults_unless_they_are_left_out() {
        let mut notices = notices();
        let mut scripts = Scripts::clone(&notices.scripts);
        scripts.mail =
            Mails { instances: ["A".to_owned()].into(), groups: ["G".to_owned()].into(), ..Mails::default() };
        notices.reconfigure(scripts.into());
        let mut subjects = |instance: &str, to| -> Vec<String> {
            let all = notices.moved(instance, to, 150, "why");
            all.into_iter().filter_map(|telling| telling.mail).map(|mail| mail.subject).collect()
        };
        let entering = |what: &str| vec![format!("VRRP {what} state")];
        assert_eq!(subjects("A", Standing::Active), entering("Instance A - Entering MASTER"));
        assert_eq!(subjects("B", Standing::Active), entering("Group G - Entering MASTER"), "B asks for none");
        assert_eq!(subjects("A", Standing::Fault), Vec::<String>::new(), "faults are left out");
    }

    #[test]
    fn a_master_that_hears_a_lesser_router_tells_its_script_and_the_fifo() {
        let script = ScriptCommand::new(["/lower".to_owned()], None).unwrap();
        let with = StateScripts { lower_prio: Some(script), ..StateScripts::default() };
        let mut scripts = Scripts::default();
        scripts.instances.insert("A".to_owned(), with.into());
        scripts.instances.insert("B".to_owned(), Arc::default());
        let mut notices = Notices::default();
        notices.reconfigure(scripts.into());
        for (instance, run) in [("A", vec!["/lower"]), ("B", vec![])] {
            let Telling { key: _, invocations, line, mail } = notices.lower_heard(instance, 150).unwrap();
            let programs: Vec<&str> = invocations.iter().map(|run| run.command.program()).collect();
            assert_eq!(programs, run, "{instance}");
            assert!(invocations.iter().all(|run| run.extra.is_empty()), "no words of ours behind it");
            let line = line.map(|line| line.to_string());
            assert_eq!(line, Some(format!("INSTANCE \"{instance}\" MASTER_RX_LOWER_PRI 150")));
            assert_eq!(mail, None);
        }
        assert_eq!(notices.lower_heard("C", 150), None);
    }

    #[test]
    fn a_virtual_server_tells_its_scripts_its_line_and_its_alert() {
        let at = |n| DestinationKey { addr: Ipv4Addr::new(10, 0, 0, n).into(), port: 81 };
        let addr = Ipv4Addr::new(192, 0, 2, 1).into();
        let service = PoolId::Service(ServiceKey::Address { protocol: Protocol::Udp, addr, port: 80 });
        let group = PoolId::Group { name: "g".to_owned(), protocol: Protocol::Tcp };
        let script = |name: &str| ScriptCommand::new([name.to_owned()], None).ok();
        let mut scripts = Scripts::default();
        let server = RealServerScripts { up: script("/up"), down: script("/down") };
        scripts.real_servers.insert((service.clone(), at(1)), server);
        let quorum = PoolScripts { quorum_up: script("/quorum-up"), quorum_down: script("/quorum-down") };
        scripts.pools.insert(service.clone(), quorum);
        scripts.mail.pools = [service.clone()].into();
        scripts.mail.real_servers = [(service.clone(), at(1))].into();
        let mut notices = Notices::default();
        notices.reconfigure(scripts.into());
        let up = |n| PoolEvent::RealServerUp { real_server: at(n) };
        let down = |n| PoolEvent::RealServerDown { real_server: at(n) };
        let (gained, lost) =
            (PoolEvent::QuorumGained { weight: 2, threshold: 1 }, PoolEvent::QuorumLost { weight: 0, threshold: 1 });
        let of = |n, state| format!("RS [10.0.0.{n}]:udp:81 [192.0.2.1]:udp:80 {state}");
        let rows: [(&PoolId, PoolEvent, &str, String, bool); 8] = [
            (&service, up(1), "/up", of(1, "UP"), true),
            (&service, down(1), "/down", of(1, "DOWN"), true),
            (&service, gained, "/quorum-up", "VS [192.0.2.1]:udp:80 UP".to_owned(), true),
            (&service, lost, "/quorum-down", "VS [192.0.2.1]:udp:80 DOWN".to_owned(), true),
            // One that asks for nothing is in the FIFO all the same.
            (&service, up(2), "", of(2, "UP"), false),
            (&group, gained, "", "VS [g]:0 UP".to_owned(), false),
            (&group, lost, "", "VS [g]:0 DOWN".to_owned(), false),
            (&group, down(1), "", "RS [10.0.0.1]:tcp:81 [g]:0 DOWN".to_owned(), false),
        ];
        for (pool, event, script, line, mailed) in rows {
            let Telling { key: _, invocations, line: told, mail } = notices.pool(pool, event).unwrap();
            let run: Vec<&str> = invocations.iter().map(|run| run.command.program()).collect();
            assert_eq!(run, Vec::from_iter((!script.is_empty()).then_some(script)), "{event:?}");
            assert_eq!((told.unwrap().to_string(), mail.is_some()), (line, mailed), "{event:?}");
        }
        assert_eq!(notices.pool(&service, PoolEvent::SorryServerIn { sorry_server: at(9) }), None);
    }
}
