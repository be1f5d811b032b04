//! keepalived.conf: bytes to tokens, tree, expansion, model, checks. Parsing never fails: it returns all problems.

pub mod model;
pub mod source;
