//! Alpine packages (apk v2): versions, indexes and their signatures, solving, the files of an .apk, the database of what is
//! installed.
//!
//! Opens nothing: readers and texts come in, values go out.
