//! Hears what neighbours say of our addresses, beside the keeper: the heartbeat is woken only by what concerns it.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::BadFrames;
use crate::vrrp::io::claims::{ArpListener, Claim, NdListener, Said};

/// Claims that wait for the heartbeat: a host that claims all addresses of a director, each a few times, is heard.
pub const CLAIMS_MAX: usize = 1024;
/// Packets in a row before the thread sleeps: a real-time one that a flood keeps awake is taken for one that hangs.
const PACKETS_PER_TURN: usize = 128;
const PAUSE: Duration = Duration::from_millis(1);

/// Both sockets, open.
#[derive(Debug)]
pub struct Listener {
    arp: ArpListener,
    /// `None` in a kernel without IPv6.
    nd: Option<NdListener>,
}

impl Listener {
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        Ok(Self { arp: ArpListener::open()?, nd: NdListener::open().ok() })
    }

    /// Tell every claim of an address that is watched, and count what is malformed, until nobody listens.
    pub async fn run(self, watched: watch::Receiver<BTreeSet<IpAddr>>, told: mpsc::Sender<Claim>, bad: Arc<BadFrames>) {
        let Self { arp, nd } = self;
        let arp = listen(arp, ArpListener::next, watched.clone(), told.clone(), &bad.arp);
        match nd {
            Some(nd) => _ = tokio::join!(arp, listen(nd, NdListener::next, watched, told, &bad.neighbour_adverts)),
            None => arp.await,
        }
    }
}

async fn listen<L: AsRawFd>(
    listener: L,
    next: impl Fn(&L) -> io::Result<Option<Said>>,
    watched: watch::Receiver<BTreeSet<IpAddr>>,
    told: mpsc::Sender<Claim>,
    bad: &AtomicU64,
) {
    // Without a descriptor of the runtime's nobody is heard; adverts still decide who is Active.
    let Some(listener) = pollable(listener) else { return };
    loop {
        let Ok(mut ready) = listener.readable().await else { return };
        let mut unread = true;
        for _ in 0..PACKETS_PER_TURN {
            // An error (ENETDOWN) is told once.
            let Ok(Some(said)) = next(listener.get_ref()) else {
                ready.clear_ready();
                unread = false;
                break;
            };
            let Ok(claim) = said else {
                bad.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if watched.borrow().contains(&claim.address)
                && let Err(mpsc::error::TrySendError::Closed(_)) = told.try_send(claim)
            {
                return;
            }
        }
        if unread {
            sleep(PAUSE).await;
        }
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn pollable<L: AsRawFd>(listener: L) -> Option<AsyncFd<L>> {
    // SAFETY: both listeners own their descriptor and never replace it, and `AsyncFd` owns the listener.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::vrrp::io::claims::Malformed;

    #[test]
    fn a_flood_does_not_keep_the_thread_awake() {
        const TURNS: u64 = 10;
        let slept = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&slept);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().on_thread_park(move || _ = counted.fetch_add(1, Ordering::Relaxed));
        let (mut far, near) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut far, b"readable for ever").unwrap();
        near.set_nonblocking(true).unwrap();
        let (_watching, watched) = watch::channel(BTreeSet::new());
        let (told, _claims) = mpsc::channel(CLAIMS_MAX);
        let (bad, enough) = (AtomicU64::new(0), tokio::sync::Notify::new());
        let wanted = TURNS * u64::try_from(PACKETS_PER_TURN).unwrap();
        let flood = |_: &UnixStream| {
            if bad.load(Ordering::Relaxed) >= wanted {
                enough.notify_one();
            }
            Ok(Some(Err(Malformed)))
        };
        runtime.build().unwrap().block_on(async {
            tokio::select! {
                () = listen(near, flood, watched, told, &bad) => panic!("it goes on"),
                () = enough.notified() => {}
            }
        });
        assert!(slept.load(Ordering::Relaxed) >= TURNS, "after each full turn: {slept:?}");
    }
}
