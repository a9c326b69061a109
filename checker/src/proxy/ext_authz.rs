//! A listener that Envoy asks by gRPC whether a request may pass (`envoy.service.auth.v3.Authorization/Check`): its filter `ext_authz`, with bodies.
//!
//! What cannot be judged is answered with a denial, and not with an error of gRPC: Envoy lets pass what it gets errors for where it is told to
//! (`failure_mode_allow`), and a client could bring such an error about.

mod answer;
mod messages;
mod question;
mod serve;
mod settings;

pub(crate) use serve::serve;
pub(crate) use settings::ExtAuthz;
