//! What an operator asks by the control socket: `POST /failover`, `POST /maintenance` of the virtual routers,
//! `POST /real-server` of forwarding.
//!
//! A hand-over takes its time: the asker's task waits for it, and the supervisor does not.

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use super::control::{Ask, ask, gone, json, refuse};
use crate::control::api::{Done, FailoverRequest, MaintenanceRequest};
use crate::control::io::server::Answer;
use crate::daemon::heartbeat::Command;
use crate::daemon::lvs::{LvsCommand, WishAsked};
use crate::daemon::maintenance;
use crate::daemon::supervisor::running::Daemon;
use crate::vrrp::Standing;
use crate::vrrp::fleet::{HandOverError, Maintenance};

/// How often those that are MASTER are asked to hand over where one of them moves in the meantime.
const HAND_OVERS_MAX: usize = 5;

/// How a hand-over comes out, some time later.
pub type HandedOver = oneshot::Sender<Result<(), HandOverError>>;

/// `POST /failover`.
pub async fn failover(asking: &mpsc::Sender<Ask>, body: &[u8]) -> Answer {
    let FailoverRequest { instance, force } = match read(body) {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    match ask(asking, |reply| Ask::HandOver { instances: vec![instance.clone()], force, reply }).await {
        Some(Ok(())) => json(200, &Done { said: format!("{instance} handed over") }),
        Some(Err(error)) => refuse(409, error.to_string()),
        None => gone(),
    }
}

/// `POST /maintenance`: what is MASTER hands over first.
pub async fn maintenance(asking: &mpsc::Sender<Ask>, body: &[u8]) -> Answer {
    let MaintenanceRequest { on, instance, force } = match read(body) {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    if on && let Err(answer) = all_handed_over(asking, instance.as_ref(), force).await {
        return answer;
    }
    match ask(asking, |reply| Ask::Maintain { on, instance, reply }).await {
        Some(Ok(said)) => json(200, &Done { said }),
        Some(Err(error)) => refuse(409, error),
        None => gone(),
    }
}

/// Where one of them moved in between, none was handed over: the others are asked for again.
async fn all_handed_over(asking: &mpsc::Sender<Ask>, instance: Option<&String>, force: bool) -> Result<(), Answer> {
    for _ in 0..HAND_OVERS_MAX {
        let instances = match ask(asking, |reply| Ask::Active(instance.cloned(), reply)).await {
            Some(Ok(active)) => active,
            Some(Err(error)) => return Err(refuse(404, error)),
            None => return Err(gone()),
        };
        if instances.is_empty() {
            return Ok(());
        }
        match ask(asking, |reply| Ask::HandOver { instances, force, reply }).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(HandOverError::NotActive { .. })) => (),
            Some(Err(error)) => {
                return Err(refuse(409, format!("{error}; without maintenance (--force sets it anyway)")));
            }
            None => return Err(gone()),
        }
    }
    Err(refuse(409, "the virtual routers keep moving; without maintenance: ask again".to_owned()))
}

/// `POST /real-server`: drain, disable, weight, or as configured.
pub async fn real_server(asking: &mpsc::Sender<Ask>, body: &[u8]) -> Answer {
    let asked: WishAsked = match read(body) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let Some(forwarding) = ask(asking, Ask::Forwarding).await else { return gone() };
    let unknown = format!("no virtual server of this name has a real server {}", asked.real_server);
    let Some((_, commands)) = forwarding else { return refuse(404, unknown) };
    let (reply, answer) = oneshot::channel();
    let sent = commands.send(LvsCommand::Wish { asked, reply }).await;
    match (sent, answer.await) {
        (Ok(()), Ok(Ok(pools))) if pools.is_empty() => refuse(404, unknown),
        (Ok(()), Ok(Ok(pools))) => json(200, &pools.iter().map(ToString::to_string).collect::<Vec<_>>()),
        (Ok(()), Ok(Err(error))) => refuse(409, error.to_string()),
        (Err(_), _) | (_, Err(_)) => gone(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| refuse(400, format!("that is no request: {error}")))
}

impl Daemon {
    pub async fn hand_over(&mut self, instances: Vec<String>, force: bool, reply: HandedOver) {
        let text = if force {
            "an operator asked for a failover, whoever takes over"
        } else {
            "an operator asked for a failover"
        };
        for name in &instances {
            self.note(name, text);
        }
        // A heartbeat that has ended drops the reply, which says so.
        drop(self.heartbeat.commands.send(Command::HandOver { instances, force, reply }).await);
    }

    /// The names of those that are MASTER; of one, or of all.
    pub fn active(&self, instance: Option<&str>) -> Result<Vec<String>, String> {
        self.known(instance)?;
        let views = std::sync::Arc::clone(&self.heartbeat.snapshot.borrow());
        let asked = views.iter().filter(|view| instance.is_none_or(|name| view.name == name));
        Ok(asked.filter(|view| view.state == Standing::Active).map(|view| view.name.clone()).collect())
    }

    fn known(&self, instance: Option<&str>) -> Result<(), String> {
        match instance {
            Some(name) if !self.wanted.instances.iter().any(|one| one.name == name) => {
                Err(format!("there is no vrrp_instance `{name}`"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Note it where a restart finds it, then let the heartbeat follow.
    pub async fn maintain(&mut self, on: bool, instance: Option<String>) -> Result<String, String> {
        if on {
            self.known(instance.as_deref())?;
        }
        let next = changed(&self.maintenance, on, instance.as_deref())?;
        let (state_dir, written) = (self.options.state_dir.clone(), next.clone());
        let write = tokio::task::spawn_blocking(move || maintenance::write(&state_dir, &written));
        match write.await {
            Ok(done) => done.map_err(|error| error.to_string())?,
            Err(error) => return Err(error.to_string()),
        }
        self.maintenance = next.clone();
        let of = instance.unwrap_or_else(|| "every virtual router".to_owned());
        let said = format!("maintenance of {of} is {}", if on { "on" } else { "off" });
        tracing::info!("{said}");
        self.note_for_all(&format!("an operator: {said}"));
        // A heartbeat that has ended is noticed by the loop.
        drop(self.heartbeat.commands.send(Command::Maintain(next)).await);
        Ok(said)
    }
}

/// The maintenance after this change.
fn changed(now: &Maintenance, on: bool, instance: Option<&str>) -> Result<Maintenance, String> {
    let mut next = now.clone();
    match (on, instance) {
        (true, None) => next.all = true,
        (false, None) => next = Maintenance::default(),
        (true, Some(name)) => _ = next.instances.insert(name.to_owned()),
        (false, Some(_)) if next.all => {
            return Err("every virtual router is in maintenance: end it for all (`vipd maintenance off`)".to_owned());
        }
        (false, Some(name)) => {
            if !next.instances.remove(name) {
                return Err(format!("{name} is not in maintenance"));
            }
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_is_of_all_or_of_some() {
        let none = Maintenance::default();
        let one = changed(&none, true, Some("A")).unwrap();
        assert_eq!((one.holds("A"), one.holds("B")), (true, false));
        let all = changed(&one, true, None).unwrap();
        assert_eq!((all.holds("A"), all.holds("B")), (true, true));
        assert!(changed(&all, false, Some("A")).unwrap_err().contains("end it for all"));
        assert_eq!(changed(&all, false, None).unwrap(), none);
        assert_eq!(changed(&one, false, Some("A")).unwrap(), none);
        assert_eq!(changed(&one, false, Some("B")).unwrap_err(), "B is not in maintenance");
    }
}
