mod cache;
mod expanded;
mod signing;
