//! What the kernel's process connector tells (`linux/cn_proc.h`, `linux/connector.h`): bytes to events.

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const PROC: [u32; 2] = [1, 1];
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
const EVENT_HEADER: usize = 16;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
/// `NLMSG_DONE`: what the connector uses as type.
const DONE: u16 = 3;

/// Something that happened to a process: not to one of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    Forked {
        parent: u32,
        child: u32,
    },
    /// It runs another program, or has another name.
    Became {
        process: u32,
    },
    Ended {
        process: u32,
    },
}

/// The message that asks for events.
pub fn listen() -> Vec<u8> {
    let payload = LISTEN.to_ne_bytes();
    let total = NETLINK_HEADER + CONNECTOR_HEADER + payload.len();
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(u32::try_from(total).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(DONE.to_ne_bytes());
    bytes.extend([0; 10]); // flags, sequence, port
    bytes.extend(PROC.iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend([0; 8]); // sequence, acknowledgement
    bytes.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend([0; 2]); // flags
    bytes.extend(payload);
    bytes
}

/// The event in one datagram; `None`: it is about something else.
pub fn event(datagram: &[u8]) -> Option<ProcessEvent> {
    let message = datagram.get(NETLINK_HEADER..)?;
    let word = |at: usize| Some(u32::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    if [word(0)?, word(4)?] != PROC {
        return None;
    }
    let what = word(CONNECTOR_HEADER)?;
    let data = |index: usize| word(CONNECTOR_HEADER + EVENT_HEADER + index * 4);
    // PROC_EVENT_FORK, _EXEC, _COMM, _EXIT: thread and process, of parent and child for a fork.
    match what {
        0x1 if data(2)? == data(3)? => Some(ProcessEvent::Forked { parent: data(1)?, child: data(3)? }),
        0x2 | 0x200 if data(0)? == data(1)? => Some(ProcessEvent::Became { process: data(1)? }),
        0x8000_0000 if data(0)? == data(1)? => Some(ProcessEvent::Ended { process: data(1)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(what: u32, data: [u32; 4]) -> Vec<u8> {
        let mut bytes = listen();
        bytes.truncate(NETLINK_HEADER + CONNECTOR_HEADER);
        bytes.extend(what.to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(data.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn events_of_processes_are_told_and_those_of_threads_are_not() {
        let rows = [
            ("a fork", datagram(1, [7, 7, 9, 9]), Some(ProcessEvent::Forked { parent: 7, child: 9 })),
            ("a thread", datagram(1, [7, 7, 9, 7]), None),
            ("another program", datagram(2, [9, 9, 0, 0]), Some(ProcessEvent::Became { process: 9 })),
            ("another name", datagram(0x200, [9, 9, 0, 0]), Some(ProcessEvent::Became { process: 9 })),
            ("a thread's name", datagram(0x200, [10, 9, 0, 0]), None),
            ("an end", datagram(0x8000_0000, [9, 9, 0, 0]), Some(ProcessEvent::Ended { process: 9 })),
            ("an answer", datagram(0, [0; 4]), None),
            ("nothing", vec![], None),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(event(&bytes), expected, "{name}");
            for cut in 0..bytes.len() {
                let _ = event(&bytes[..cut]);
            }
        }
    }
}
