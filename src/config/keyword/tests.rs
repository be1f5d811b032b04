//! The table against itself.

use std::collections::HashSet;

use super::{Context, Form, Holds, Service, Standing, all, find, homes, of};

#[test]
fn contexts_count_from_zero_in_their_order() {
    for (at, context) in Context::ALL.into_iter().enumerate() {
        assert_eq!(context as usize, at, "{context:?}");
    }
}

#[test]
fn no_block_knows_a_word_twice() {
    let mut seen = HashSet::new();
    for row in all() {
        assert!(!row.contexts.is_empty(), "{} stands nowhere", row.word);
        for &context in row.contexts {
            assert!(seen.insert((context, row.word)), "{} of {context:?} has two rows", row.word);
        }
    }
    assert!(seen.len() > 550, "{} rows: the table is not whole", seen.len());
}

#[test]
fn every_row_is_found_where_it_stands_and_nowhere_else() {
    for row in all() {
        for context in Context::ALL {
            let found = find(context, row.word).is_some_and(|found| found == row);
            assert_eq!(found, row.contexts.contains(&context), "{} in {context:?}", row.word);
        }
    }
    assert_eq!(find(Context::Top, "vrrp_instanc"), None);
    assert_eq!(find(Context::Top, ""), None);
}

#[test]
fn every_block_of_keywords_has_some_and_is_opened_by_one() {
    let opened: HashSet<Context> = all().filter_map(|row| row.form.block()).collect();
    for context in Context::ALL {
        assert!(context == Context::Top || opened.contains(&context), "nothing opens {context:?}");
        if context.holds() == Holds::Keywords {
            assert!(of(context).next().is_some(), "{context:?} has no keywords");
        }
    }
}

#[test]
fn every_row_says_what_it_is() {
    for row in all() {
        assert!(!row.note.is_empty() && !row.default.is_empty(), "{}", row.word);
        assert!(!row.note.ends_with('.'), "{}: notes are no sentences: {}", row.word, row.note);
        let (least, most) = row.form.count();
        assert!(least <= most, "{}", row.word);
        assert!(row.form == Form::Flag || !row.form.words().is_empty(), "{}", row.word);
        if let Service::NoEffect(why) = row.service {
            assert!(!why.is_empty(), "{}", row.word);
        }
    }
}

/// A name that is given as the one of today must be one of today.
#[test]
fn old_names_lead_to_new_ones() {
    for row in all() {
        if let Standing::OldName(new) = row.standing {
            for &context in row.contexts {
                let new = find(context, new).unwrap_or_else(|| panic!("{} leads to {new}, unknown there", row.word));
                assert!(matches!(new.standing, Standing::Current | Standing::New), "{} leads to an old name", row.word);
            }
        }
    }
}

#[test]
fn forms_are_written_as_manuals_write_them() {
    let rows = [
        (Context::Instance, "priority", "INT 1..255"),
        (Context::Instance, "advert_int", "SECONDS 0.01..255"),
        (Context::Instance, "nopreempt", ""),
        (Context::Instance, "state", "MASTER | BACKUP"),
        (Context::Instance, "notify", "COMMAND [USER [GROUP]]"),
        (Context::Instance, "smtp_alert", "[BOOL]"),
        (Context::Instance, "garp_master_repeat", "INT 1.."),
        (Context::GlobalDefs, "smtp_connect_timeout", "INT 0.. s"),
        (Context::Top, "vrrp_instance", "NAME { }"),
        (Context::Instance, "virtual_ipaddress", "{ }"),
    ];
    for (context, word, form) in rows {
        assert_eq!(find(context, word).map(|row| row.form.words()).as_deref(), Some(form), "{word}");
    }
}

#[test]
fn a_word_knows_its_homes() {
    assert_eq!(homes("real_server"), [Context::VirtualServer]);
    assert_eq!(homes("auth_pass"), [Context::Authentication]);
    assert!(homes("nat_mask").is_empty(), "it is gone");
    assert!(homes("label").is_empty(), "it stands inside a line");
}
