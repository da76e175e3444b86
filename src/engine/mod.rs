//! Container engines: handing them an image.
