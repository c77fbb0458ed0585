// Package docker tests docker-compose.yml and the image from outside: real
// containers of a real engine, in every version of Compose that is installed.
// Without an engine it is skipped and says so. It pulls nothing: the image is
// built from scratch around a program that is built here.
package docker
