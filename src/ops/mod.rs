//! One file per verb of the command line; each joins the parts below.
