//! References to images, as `docker/reference` of containers/image reads them.
