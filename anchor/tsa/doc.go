// Package tsa asks an RFC 3161 time-stamp authority for tokens over HTTP.
package tsa
