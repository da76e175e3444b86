//! Which layers an image has, from which entries, in which order, and what its config says: values in, value out.
//!
//! Knows bases by their facts, never by their bytes; opens nothing.

mod accounts;
mod composed;
mod directories;
mod init;
mod layers;
mod secrets;
mod settings;

pub use composed::{Certificate, ComposeError, composed_files};
pub use directories::last_directories;
pub use init::{under_init, without_init};
pub use layers::{LayerError, LayerPart, PlannedLayer, plan_layers};
pub use secrets::{SECRET_RULES, secret_in};
pub use settings::{ImageConfig, SettingsError, image_config, target_value};
