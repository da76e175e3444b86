//! Sources into files, by the host's toolchains, in a closed world.
