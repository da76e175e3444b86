//! Which layers there will be, from which inputs, in which order: values in, value out.
