//! Messages for a thread that waits in epoll: a channel, and an eventfd that tells of the first message in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::CheckersGone;

/// Where messages are put in; those that wait are as many as senders let wait.
#[derive(Debug)]
pub struct Door<M> {
    messages: Sender<M>,
    bell: Arc<Bell>,
}

/// Where they are taken out.
#[derive(Debug)]
pub struct Inbox<M> {
    messages: Receiver<M>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    event: EventFd,
    /// It was rung, and nobody has looked since: ringing again would say nothing more.
    rung: AtomicBool,
}

/// # Errors
/// Of `eventfd(2)`.
pub fn inbox<M>() -> io::Result<(Door<M>, Inbox<M>)> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let bell = Arc::new(Bell { event, rung: AtomicBool::new(false) });
    let (sender, receiver) = channel();
    Ok((Door { messages: sender, bell: Arc::clone(&bell) }, Inbox { messages: receiver, bell }))
}

impl<M> Clone for Door<M> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<M> Door<M> {
    /// # Errors
    /// [`CheckersGone`] where the inbox is.
    pub fn send(&self, message: M) -> Result<(), CheckersGone> {
        self.messages.send(message).map_err(|_| CheckersGone)?;
        if !self.bell.rung.swap(true, Ordering::SeqCst) {
            // Its counter cannot run over.
            self.bell.event.write(1).ok();
        }
        Ok(())
    }
}

impl<M> Inbox<M> {
    /// What becomes readable, again and again though nobody reads it, where messages wait.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.event.as_fd()
    }

    /// Those that wait. One that is put in later rings the bell.
    pub fn take(&self) -> Vec<M> {
        self.bell.rung.store(false, Ordering::SeqCst);
        self.messages.try_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::healthcheck::io::connector::Connector;

    /// Whether a wait ends by the bell, which has been rung or will never be.
    fn rings(connector: &mut Connector) -> bool {
        connector.wait(Some(Duration::ZERO)).unwrap()
    }

    #[test]
    fn the_bell_rings_for_each_message_that_somebody_has_to_come_for() {
        let (door, inbox) = inbox().unwrap();
        let mut connector = Connector::new().unwrap();
        connector.wake_by(inbox.bell()).unwrap();
        assert!(!rings(&mut connector), "there is no message");
        for round in [1, 3, 2] {
            (0..round).for_each(|n| door.send(n).unwrap());
            assert!(rings(&mut connector), "{round} messages wait");
            assert!(!rings(&mut connector), "that was told");
            assert_eq!(inbox.take().len(), round);
        }
        // One that comes after the bell, and before the inbox is emptied, is in it.
        door.send(1).unwrap();
        assert!(rings(&mut connector));
        door.clone().send(2).unwrap();
        assert_eq!(inbox.take(), [1, 2]);
        drop(inbox);
        assert_eq!(door.send(3), Err(CheckersGone));
    }
}
