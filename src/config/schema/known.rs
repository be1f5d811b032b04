//! A keyword that stands where it may: its words, its block, its history.

use super::{
    Checker, Context, Holds, Keyword, Service, Severity, Span, Statement, Word, join, keyword, span, unserved,
};
use crate::config::command::split_command;
use crate::config::keyword::{Form, Standing};

impl Checker {
    pub(super) fn known(
        &mut self,
        context: Context,
        keyword: &'static Keyword,
        statement: &Statement<'_>,
        quiet: bool,
    ) {
        if let Standing::Removed(instead) = keyword.standing {
            self.removed(context, keyword, statement.keyword, instead);
            return;
        }
        self.standing(keyword, statement.keyword.at);
        let served = keyword.service == Service::Served;
        if !served && !quiet {
            self.count_unserved(keyword, statement.keyword.at);
        }
        self.words(context, keyword, statement);
        if !served {
            let mut problems = vec![];
            unserved::values(keyword, statement, &mut problems);
            self.problems.extend(problems);
        }
        match (keyword.form.block(), &statement.block) {
            (Some(inner), Some(block)) => {
                if block.unbraced {
                    self.missing_block(keyword, statement, "what follows is read as its contents");
                }
                if inner.holds() == Holds::Keywords {
                    self.block(inner, &block.statements, quiet || !served);
                }
            }
            (Some(_), None) => self.missing_block(keyword, statement, "a `{` is missing after it"),
            // Those that take no block have none: `parse.rs` passes such braces over.
            (None, _) => {}
        }
    }

    fn removed(&mut self, context: Context, keyword: &Keyword, word: Word<'_>, instead: &str) {
        let message = format!("{} has no keyword `{}`: {}", context.name(), word.text, keyword.note);
        self.tell(Severity::Error, "removed-keyword", word.at, message, |problem| {
            problem.label("passed over").help(instead)
        });
    }

    fn standing(&mut self, keyword: &Keyword, at: Span) {
        let word = keyword.word;
        match keyword.standing {
            Standing::Deprecated(instead) => {
                let message = format!("`{word}` is deprecated");
                self.tell(Severity::Error, "deprecated-keyword", at, message, |problem| {
                    problem.label("deprecated").help(instead)
                });
            }
            Standing::OldName(new) => {
                let message = format!("`{word}` is an old name of `{new}`");
                self.tell(Severity::Note, "deprecated-keyword", at, message, |problem| {
                    problem.label("an old name").help(format!("write `{new}`"))
                });
            }
            Standing::Current | Standing::New | Standing::Removed(_) | Standing::Ours | Standing::Dpvs => {}
        }
    }

    fn words(&mut self, context: Context, keyword: &Keyword, statement: &Statement<'_>) {
        let (least, most) = keyword.form.count();
        if statement.args.len() < least {
            self.too_few(keyword, statement);
            return;
        }
        match keyword.form {
            // `read/` splits commands by their own rules, and tells what is dropped after `script` and `misc_path`.
            Form::Command(false) => {}
            Form::Command(true) => self.user_of_command(keyword, statement),
            Form::Flag
            | Form::Bool
            | Form::Int(..)
            | Form::Seconds(..)
            | Form::Word(_)
            | Form::Address
            | Form::OneOf(_)
            | Form::Maybe(_)
            | Form::Ints(..)
            | Form::Words(..)
            | Form::Block(..) => {
                if let Some(surplus) = statement.args.get(most..).filter(|surplus| !surplus.is_empty()) {
                    self.too_many(context, keyword, statement, surplus);
                }
            }
        }
    }

    fn too_few(&mut self, keyword: &Keyword, statement: &Statement<'_>) {
        let word = keyword.word;
        let (form, message) = if let Form::Block(form, ..) = keyword.form {
            let named = form == "NAME";
            (form.to_owned(), format!("`{word}` {}", if named { "has no name" } else { "does not say which one" }))
        } else {
            let none = statement.args.is_empty();
            (keyword.form.words(), format!("`{word}` {}", if none { "has no value" } else { "lacks a word" }))
        };
        self.tell(keyword.missing, "missing-argument", statement.at(), message, |problem| {
            problem.label("something is missing after it").help(format!("the form is: {word} {form}"))
        });
    }

    fn too_many(&mut self, context: Context, keyword: &Keyword, statement: &Statement<'_>, surplus: &[Word<'_>]) {
        let (word, dropped) = (keyword.word, join(surplus));
        let at = span(surplus).unwrap_or(statement.keyword.at);
        let own_line = surplus.iter().find(|word| !word.quoted && keyword::find(context, word.text).is_some());
        let off = surplus.first().is_some_and(|first| ["false", "off", "no"].contains(&first.text));
        let (message, label, help) = if keyword.surplus == Severity::Error {
            (
                format!("`{word}` does not take `{dropped}`: keepalived refuses such a statement"),
                "a word too many",
                Some(format!("the form is: {word} {}", keyword.form.words()).trim_end().to_owned()),
            )
        } else if let Some(next) = own_line {
            (
                format!("`{dropped}` is dropped: a statement takes the whole line"),
                "not read",
                Some(format!("write `{}` on a line of its own", next.text)),
            )
        } else if keyword.form == Form::Flag && off {
            (
                format!("`{word} {dropped}` still means `{word}`: what follows it is not looked at"),
                "not read",
                Some("delete the line, or put `#` before it, to switch it off".to_owned()),
            )
        } else {
            (format!("`{dropped}` is dropped"), "not read", quote_hint(keyword, statement))
        };
        self.tell(keyword.surplus, "surplus-words", at, message, |problem| {
            let problem = problem.label(label);
            if let Some(help) = help { problem.help(help) } else { problem }
        });
    }

    /// After a command: a user and a group, no more, and no arguments of the command.
    fn user_of_command(&mut self, keyword: &Keyword, statement: &Statement<'_>) {
        // What cannot be split is told by `read/`.
        let Ok(split) = split_command(statement.rest) else { return };
        let Some(user) = split.trailing.first() else { return };
        let word = keyword.word;
        let program = split.argv.join(" ");
        if user.starts_with('-') || user.contains('/') {
            let message = format!("`{user}` is read as the user that `{program}` runs as, not as its argument");
            let all = split.trailing.join(" ");
            self.tell(Severity::Warning, "argument-as-user", statement.at(), message, |problem| {
                problem
                    .label("only the first word is the command")
                    .help(format!("quote the whole command: {word} \"{program} {all}\""))
            });
        } else if let Some(dropped) = split.trailing.get(2..).filter(|dropped| !dropped.is_empty()) {
            let message = format!("`{}` is dropped: only a user and a group follow a command", dropped.join(" "));
            self.tell(Severity::Warning, "surplus-words", statement.at(), message, |problem| {
                problem.label("not all is read")
            });
        }
    }

    fn missing_block(&mut self, keyword: &Keyword, statement: &Statement<'_>, label: &str) {
        let word = keyword.word;
        let message = format!("`{word}` opens a block, and no `{{` follows");
        self.tell(Severity::Error, "missing-block", statement.at(), message, |problem| {
            problem.label(label).help("put `{` at the end of the line, and `}` after the last one")
        });
    }
}

/// A value of one word was written as several: quotes keep them together.
fn quote_hint(keyword: &Keyword, statement: &Statement<'_>) -> Option<String> {
    match keyword.form {
        Form::Word("STRING") if statement.args.iter().all(|word| !word.quoted) => {
            Some(format!("to keep all of it: {} \"{}\"", keyword.word, join(&statement.args)))
        }
        Form::Flag
        | Form::Bool
        | Form::Int(..)
        | Form::Seconds(..)
        | Form::Word(_)
        | Form::Address
        | Form::OneOf(_)
        | Form::Maybe(_)
        | Form::Ints(..)
        | Form::Words(..)
        | Form::Command(_)
        | Form::Block(..) => None,
    }
}
