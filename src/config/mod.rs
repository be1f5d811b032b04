//! keepalived.conf: bytes to expanded text, tree, model, checks. Reading never fails: it returns all problems.

pub mod keyword;
pub mod model;
pub mod problem;
pub mod schema;
pub mod source;
pub mod tree;
