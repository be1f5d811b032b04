//! Hears what neighbours say of our addresses, beside the keeper: the heartbeat is woken only by what concerns it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::BadFrames;
use crate::vrrp::io::claims::{ArpListener, Claim, NdListener, Said};

/// Claims that wait for the heartbeat; it answers the first of many as well as the last.
pub const CLAIMS_MAX: usize = 64;
/// Packets in a row before others get their turn.
const PACKETS_PER_TURN: usize = 128;

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
        for _ in 0..PACKETS_PER_TURN {
            // An error (ENETDOWN) is told once.
            let Ok(Some(said)) = next(listener.get_ref()) else {
                ready.clear_ready();
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
        tokio::task::yield_now().await;
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn pollable<L: AsRawFd>(listener: L) -> Option<AsyncFd<L>> {
    // SAFETY: both listeners own their descriptor and never replace it, and `AsyncFd` owns the listener.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.ok()
}
