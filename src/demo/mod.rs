mod catalogue;
mod media;
