//! What containers/image does with the files of a host: parse, match, resolve a pull.
