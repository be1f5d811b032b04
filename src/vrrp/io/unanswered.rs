//! Neighbours that the kernel has asked for in vain while a link was down.
//!
//! It asks once a second and holds packets back meanwhile: when the link returns, that second is an outage. What is
//! forgotten is asked for at once by the next packet.

use futures_util::StreamExt as _;
use netlink_packet_route::neighbour::NeighbourState;

/// Forget them on the link with this index. One that changes meanwhile is left alone.
///
/// # Errors
/// Of netlink, where neighbours cannot be listed.
pub async fn forget(handle: &rtnetlink::Handle, index: u32) -> Result<(), rtnetlink::Error> {
    let mut unanswered = vec![];
    let mut all = std::pin::pin!(handle.neighbours().get().execute());
    while let Some(neighbour) = all.next().await {
        let neighbour = neighbour?;
        let state = neighbour.header.state;
        if neighbour.header.ifindex == index && matches!(state, NeighbourState::Incomplete | NeighbourState::Failed) {
            unanswered.push(neighbour);
        }
    }
    for neighbour in unanswered {
        // Gone already, or answered in the meantime: both are fine.
        let _ = handle.neighbours().del(neighbour).execute().await;
    }
    Ok(())
}
