//! keepalived.conf: bytes to expanded text, tree, model, checks. Reading never fails: it returns all problems.

pub mod change;
pub mod check;
pub mod collect;
pub mod command;
pub mod expand;
pub mod explain;
pub mod io;
pub mod keyword;
pub mod lex;
pub mod model;
pub mod names;
pub mod near;
pub mod parse;
pub mod print;
pub mod problem;
pub mod read;
pub mod schema;
pub mod show;
pub mod source;
pub mod tree;
