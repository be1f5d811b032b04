//! An operator's wish for a real server: whom it concerns, and taking it to the pools and to the plane.

use serde::{Deserialize, Serialize};

use super::{ConvergeError, Task};
use crate::daemon::wishes::{self, Kept, WishesError};
use crate::lvs::ipvsadm::manual::Manual;
use crate::lvs::pool::{Event, PoolId, PoolView, Wish};
use crate::lvs::table::{DestinationKey, ServiceKey};

/// `POST /real-server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishAsked {
    pub real_server: DestinationKey,
    /// The virtual server as `status` names it, without its protocol, or by its group's name; `None`: every one.
    pub service: Option<String>,
    /// `None`: what the configuration says.
    pub wish: Option<Wish>,
}

impl WishAsked {
    fn concerns(&self, view: &PoolView) -> bool {
        let named = self.service.as_ref().is_none_or(|name| is_named(view, name));
        named && view.real_servers.iter().any(|server| server.address == self.real_server)
    }
}

/// The wish is noted all the same.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// The plane is tried again until it follows.
    #[error("it is noted, but the plane does not follow yet: {0}")]
    Pending(#[from] ConvergeError),
    #[error(transparent)]
    Kept(#[from] WishesError),
}

impl<D: Manual> Task<D> {
    /// What operators wanted before a restart holds again, before the plane hears of the first pool.
    pub(super) fn wish_as_before(&mut self) {
        for Kept { pool, real_server, wish } in std::mem::take(&mut self.settings.wishes) {
            match self.director.handle(&pool, Event::Operator { real_server, wish: Some(wish) }) {
                Ok(told) => {
                    tracing::info!(%pool, %real_server, %wish, "an operator's wish from before the restart holds");
                    self.tell_pools(told);
                }
                Err(error) => tracing::warn!(%error, %wish, "an operator's wish from before the restart is dropped"),
            }
        }
    }

    /// Note all wishes where a restart finds them.
    ///
    /// # Errors
    /// [`WishesError`]; tried again when the next one changes.
    pub(super) async fn keep_wishes(&mut self) -> Result<(), WishesError> {
        let Some(state_dir) = self.settings.state_dir.clone() else { return Ok(()) };
        if !std::mem::take(&mut self.unkept) {
            return Ok(());
        }
        let of_pool = |view: PoolView| {
            let wanted = view.real_servers.into_iter().filter_map(|server| Some((server.address, server.wish?)));
            wanted.map(|(real_server, wish)| Kept { pool: view.id.clone(), real_server, wish }).collect::<Vec<_>>()
        };
        let kept: Vec<Kept> = self.director.views().into_iter().flat_map(of_pool).collect();
        if self.kept == kept {
            return Ok(());
        }
        let written = kept.clone();
        let write = tokio::task::spawn_blocking(move || wishes::write(&state_dir, &written));
        // A write that panicked has said so.
        write.await.unwrap_or(Ok(()))?;
        self.kept = kept;
        Ok(())
    }

    /// Note the wish in every pool that it concerns, and bring the plane in step.
    ///
    /// # Errors
    /// [`WishError`]
    pub(super) async fn wish(&mut self, asked: &WishAsked) -> Result<Vec<PoolId>, WishError> {
        let views = self.director.views();
        let pools: Vec<PoolId> = views.into_iter().filter(|view| asked.concerns(view)).map(|view| view.id).collect();
        for pool in &pools {
            let event = Event::Operator { real_server: asked.real_server, wish: asked.wish };
            match self.director.handle(pool, event) {
                Ok(told) => {
                    self.changed = true;
                    self.tell_pools(told);
                }
                Err(error) => tracing::error!(%error, "a pool that was there is gone"),
            }
        }
        if !pools.is_empty() {
            let wish = asked.wish.map_or_else(|| "as configured".to_owned(), |wish| wish.to_string());
            tracing::info!(real_server = %asked.real_server, wish, pools = pools.len(), "an operator's wish");
            self.unkept = true;
            let kept = self.keep_wishes().await;
            self.converge().await?;
            kept?;
        }
        Ok(pools)
    }
}

/// Whether an operator means this virtual server.
fn is_named(view: &PoolView, name: &str) -> bool {
    let group = matches!(&view.id, PoolId::Group { name: group, .. } if group == name);
    let service = |service: &ServiceKey| {
        let words = service.to_string();
        words == name || words.split_once(' ').is_some_and(|(_, address)| address == name)
    };
    group || view.id.to_string() == name || view.services.iter().any(service)
}
