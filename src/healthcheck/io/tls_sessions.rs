//! Sessions of TLS that later runs go on with (`tls_session_reuse`), apart for each server: the real servers of a service
//! answer to one name, and know nothing of each other's sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio_rustls::rustls::client::{ClientSessionMemoryCache, Resumption};

/// Servers whose sessions are kept; past that the lowest address begins anew.
const SERVERS_MAX: usize = 8192;
/// Sessions of one server: eight (rustls's number) of each of four names.
const SESSIONS_MAX: usize = 32;

static KEPT: LazyLock<Mutex<BTreeMap<SocketAddr, Arc<ClientSessionMemoryCache>>>> = LazyLock::new(Mutex::default);

/// What a run of a check of this server goes on with, and leaves behind.
pub(super) fn of(server: SocketAddr) -> Resumption {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= SERVERS_MAX && !kept.contains_key(&server) {
        kept.pop_first();
    }
    let sessions = kept.entry(server).or_insert_with(|| Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX)));
    Resumption::store(Arc::<ClientSessionMemoryCache>::clone(sessions))
}
