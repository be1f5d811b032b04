//! An operator's wish for a real server: whom it concerns, and taking it to the pools and to the plane.

use serde::{Deserialize, Serialize};

use super::{ConvergeError, Task};
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

impl<D: Manual> Task<D> {
    /// Note the wish in every pool that it concerns, and bring the plane in step.
    ///
    /// # Errors
    /// [`ConvergeError`]: the wish is noted, and the plane is tried again until it follows.
    pub(super) async fn wish(&mut self, asked: &WishAsked) -> Result<Vec<PoolId>, ConvergeError> {
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
            self.converge().await?;
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
