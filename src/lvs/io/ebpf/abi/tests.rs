//! The mirror is true: sizes and offsets against the object's BTF, numbers against the header's text.

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};

use super::*;
use crate::lvs::io::ebpf::stats::Reason;

/// Name and offset in bytes of each field, in order.
type Fields = Vec<(String, usize)>;

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

fn text_at(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(bytes[at..at + end].to_vec()).unwrap()
}

/// A section of an ELF64 file (`elf.h`).
fn section<'a>(elf: &'a [u8], wanted: &str) -> &'a [u8] {
    let (table, size, count, names) = (u64_at(elf, 0x28), u16_at(elf, 0x3a), u16_at(elf, 0x3c), u16_at(elf, 0x3e));
    let header = |index: usize| &elf[table + index * size..][..size];
    let body = |index: usize| &elf[u64_at(header(index), 0x18)..][..u64_at(header(index), 0x20)];
    let found = (0..count).find(|index| text_at(body(names), u32_at(header(*index), 0)) == wanted);
    body(found.unwrap_or_else(|| panic!("no section {wanted}")))
}

/// The structs of the object: size and fields (`Documentation/bpf/btf.rst`).
fn structs(object: &[u8]) -> BTreeMap<String, (usize, Fields)> {
    const STRUCT: usize = 4;
    let btf = section(object, ".BTF");
    let header = u32_at(btf, 4);
    let types = &btf[header + u32_at(btf, 8)..][..u32_at(btf, 12)];
    let strings = &btf[header + u32_at(btf, 16)..][..u32_at(btf, 20)];
    let (mut at, mut found) = (0, BTreeMap::new());
    while at < types.len() {
        let (name, info, size) = (u32_at(types, at), u32_at(types, at + 4), u32_at(types, at + 8));
        let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
        at += 12;
        if kind == STRUCT {
            let member = |number: usize| {
                let at = at + number * 12;
                (text_at(strings, u32_at(types, at)), u32_at(types, at + 8) / 8)
            };
            found.insert(text_at(strings, name), (size, (0..count).map(member).collect()));
        }
        at += match kind {
            1 | 14 | 17 => 4,                   // int, var, decl_tag
            3 => 12,                            // array
            STRUCT | 5 | 15 | 19 => count * 12, // struct, union, datasec, enum64
            6 | 13 => count * 8,                // enum, func_proto
            _ => 0,
        };
    }
    found
}

macro_rules! mirror {
    ($($name:literal = $type:ident { $($field:ident)* })*) => {
        vec![$(($name, size_of::<$type>(), vec![$((stringify!($field).to_owned(), offset_of!($type, $field))),*])),*]
    };
}

#[test]
fn every_struct_is_mirrored_to_the_byte() {
    let ours: Vec<(&str, usize, Fields)> = mirror! {
        "vipd_service_key" = ServiceKey { address port protocol family fwmark }
        "vipd_service_slot" = ServiceSlot { slot reserved }
        "vipd_service" = Service {
            table key scheduler flags persistence_prefix reserved persistence_s flood_length reserved_more
        }
        "vipd_schedule_key" = ScheduleKey { generation page }
        "vipd_schedule_page" = SchedulePage { destination }
        "vipd_destination" = Destination {
            address port forwarding flags generation service weight upper_threshold lower_threshold tunnel
            reserved tunnel_port
        }
        "vipd_real_key" = RealKey { address port protocol reserved }
        "vipd_real" = Real { destination generation holders reserved }
        "vipd_flow" = Flow { source target source_port target_port protocol reserved }
        "vipd_connection" = Connection {
            tag state flags virtual_port seen_ns destination generation virtual_address first_ack reserved
        }
        "vipd_entry" = Entry { flow connection reserved }
        "vipd_bucket" = Bucket { slot }
        "vipd_ended" = Ended { at }
        "vipd_cursor" = Cursor { used hand }
        "vipd_fragment_key" = FragmentKey { source target identification protocol reserved }
        "vipd_fragment" = Fragment { source_port target_port }
        "vipd_counters" = Counters { connections packets_in packets_out bytes_in bytes_out }
        "vipd_template_key" = TemplateKey { client service }
        "vipd_template" = Template { seen_ns held_ns destination generation }
        "vipd_census" = Census { active inactive persistent reserved }
        "vipd_load" = Load { active inactive overloaded reserved }
        "vipd_locality_key" = LocalityKey { target service }
        "vipd_member" = Member { destination generation }
        "vipd_locality" = Locality { changed_ns member }
        "vipd_settings" = Settings {
            abi_version generation changing way_ms timeout_ms local_port_first local_port_last connections buckets
            destinations quiescent_keeps hash_key
        }
        "vipd_locals" = Locals { count flags address }
        "vipd_port" = Port { mac flags reserved }
    };
    let mut theirs = structs(&unpack(OBJECT).unwrap());
    for (name, known) in structs(&unpack(XDP_OBJECT).unwrap()) {
        let other = theirs.insert(name.clone(), known.clone());
        assert!(!name.starts_with("vipd_") || other.is_none_or(|other| other == known), "{name} differs in XDP");
    }
    assert_eq!(theirs.remove("vipd_address"), Some((size_of::<Address>(), vec![("word".to_owned(), 0)])));
    for (name, size, fields) in ours {
        assert_eq!(theirs.remove(name), Some((size, fields)), "{name}");
    }
    let left: Vec<_> = theirs.into_keys().filter(|name| name.starts_with("vipd_")).collect();
    assert!(left.is_empty(), "structs without a mirror: {left:?}");
}

#[test]
fn every_number_of_the_header_is_ours() {
    let header = include_str!("../../../../../bpf/abi.h");
    let numbers: BTreeMap<&str, u32> = header
        .lines()
        .filter_map(|line| {
            let line = line.trim().strip_prefix("#define ").unwrap_or(line.trim());
            let (name, value) = line.split_once(" = ").or_else(|| line.split_once(' '))?;
            let value = value.split([',', ' ']).next()?.parse().ok()?;
            name.starts_with("VIPD_").then_some((name, value))
        })
        .collect();
    let rows = [
        ("VIPD_ABI_VERSION", ABI_VERSION),
        ("VIPD_SCHEDULER_RR", SCHEDULER_RR.into()),
        ("VIPD_SCHEDULER_WRR", SCHEDULER_WRR.into()),
        ("VIPD_SCHEDULER_SH", SCHEDULER_SH.into()),
        ("VIPD_SCHEDULER_MH", SCHEDULER_MH.into()),
        ("VIPD_SCHEDULER_LC", SCHEDULER_LC.into()),
        ("VIPD_SCHEDULER_WLC", SCHEDULER_WLC.into()),
        ("VIPD_SCHEDULER_SED", SCHEDULER_SED.into()),
        ("VIPD_SCHEDULER_NQ", SCHEDULER_NQ.into()),
        ("VIPD_SCHEDULER_FO", SCHEDULER_FO.into()),
        ("VIPD_SCHEDULER_OVF", SCHEDULER_OVF.into()),
        ("VIPD_SCHEDULER_DH", SCHEDULER_DH.into()),
        ("VIPD_SCHEDULER_LBLC", SCHEDULER_LBLC.into()),
        ("VIPD_SCHEDULER_LBLCR", SCHEDULER_LBLCR.into()),
        ("VIPD_LOCALITY_MEMBERS", LOCALITY_MEMBERS.try_into().unwrap()),
        ("VIPD_SERVICE_ONE_PACKET", SERVICE_ONE_PACKET.into()),
        ("VIPD_SERVICE_LIMITED", SERVICE_LIMITED.into()),
        ("VIPD_SERVICE_MASQ", SERVICE_MASQ.into()),
        ("VIPD_SERVICE_FULLNAT", SERVICE_FULLNAT.into()),
        ("VIPD_SERVICE_ONE", SERVICE_ONE.into()),
        ("VIPD_SERVICE_TWO", SERVICE_TWO.into()),
        ("VIPD_SERVICE_THREE", SERVICE_THREE.into()),
        ("VIPD_FORWARDING_MASQ", FORWARDING_MASQ.into()),
        ("VIPD_FORWARDING_ROUTE", FORWARDING_ROUTE.into()),
        ("VIPD_FORWARDING_TUNNEL", FORWARDING_TUNNEL.into()),
        ("VIPD_TUNNEL_IPIP", TUNNEL_IPIP.into()),
        ("VIPD_TUNNEL_GUE", TUNNEL_GUE.into()),
        ("VIPD_TUNNEL_GRE", TUNNEL_GRE.into()),
        ("VIPD_LOCALS_TOA", LOCALS_TOA),
        ("VIPD_BUCKET_SLOTS", BUCKET_SLOTS.try_into().unwrap()),
        ("VIPD_NUMBER_BITS", NUMBER_BITS),
        ("VIPD_ENDED", ENDED.try_into().unwrap()),
        ("VIPD_HASH_KEYS", HASH_KEYS.try_into().unwrap()),
        ("VIPD_TAG_USED", TAG_USED),
        ("VIPD_DESTINATION_KEEPS_PORT", DESTINATION_KEEPS_PORT.into()),
        ("VIPD_DESTINATION_OTHER_FAMILY", DESTINATION_OTHER_FAMILY.into()),
        ("VIPD_PROGRAM_IPV6", PROGRAM_IPV6),
        ("VIPD_PROGRAM_FULLNAT", PROGRAM_FULLNAT),
        ("VIPD_PROGRAM_FULLNAT6", PROGRAM_FULLNAT6),
        ("VIPD_LOCALS", LOCALS.try_into().unwrap()),
        ("VIPD_FORWARDING_FULLNAT", FORWARDING_FULLNAT.into()),
        ("VIPD_PROGRAM_TELL", PROGRAM_TELL),
        ("VIPD_PROGRAM_TELL6", PROGRAM_TELL6),
        ("VIPD_PROGRAM_OUTER", PROGRAM_OUTER),
        ("VIPD_PROGRAM_OUTER6", PROGRAM_OUTER6),
        ("VIPD_PROGRAM_INSIDE", PROGRAM_INSIDE),
        ("VIPD_PROGRAM_INSIDE6", PROGRAM_INSIDE6),
        ("VIPD_PROGRAMS", PROGRAMS),
        ("VIPD_OWN_ADDRESSES", OWN_ADDRESSES),
        ("VIPD_XDP_PROGRAM_IPV6", XDP_PROGRAM_IPV6),
        ("VIPD_XDP_PROGRAMS", XDP_PROGRAMS),
        ("VIPD_PORTS", PORTS),
        ("VIPD_PORT_ON", PORT_ON.into()),
        ("VIPD_PORT_GENERIC", PORT_GENERIC.into()),
        ("VIPD_PORT_BACK", PORT_BACK.into()),
        ("VIPD_PORT_TARGET", PORT_TARGET.into()),
        ("VIPD_PORT_ETHERNET", PORT_ETHERNET.into()),
        ("VIPD_PORT_OFFLOADS", PORT_OFFLOADS.into()),
        ("VIPD_FENCE_EARLIEST", FENCE_EARLIEST),
        ("VIPD_SCHEDULE_PAGE", SCHEDULE_PAGE.try_into().unwrap()),
        ("VIPD_STATES", STATES.try_into().unwrap()),
        ("VIPD_REASONS", REASONS),
    ];
    for (name, ours) in rows {
        assert_eq!(numbers.get(name), Some(&ours), "{name}");
    }
    let mut reasons: Vec<(u32, String)> = numbers
        .iter()
        .filter_map(|(name, value)| Some((*value, name.strip_prefix("VIPD_REASON_")?.to_lowercase())))
        .collect();
    reasons.sort_unstable();
    let ours: Vec<(u32, String)> = (0..).zip(Reason::ALL.map(|reason| reason.name().to_owned())).collect();
    assert_eq!(reasons, ours);
}
