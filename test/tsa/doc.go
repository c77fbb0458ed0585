// Package tsa runs real RFC 3161 time-stamp authorities on this machine, for tests of the whole project.
//
// An [Authority] has its own root, intermediate and time-stamping certificates, answers
// requests over HTTP, and serves the revocation lists of its CAs. RSA and ECDSA tokens are made by
// `openssl ts`. Openssl cannot make SM2 tokens, and emmansun's pkcs7 cannot give a SignedData the content
// type of a token, so the SM2 responder builds its tokens itself ([Spec]) over smx509 and internal/gm; it
// can be asked for RSA and ECDSA too, where a test needs what openssl would not say.
//
// It errs on demand: see [Fault]. It is no authority for anything else: its keys lie in a temporary folder.
package tsa
