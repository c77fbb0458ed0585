// Package timestamp verifies RFC 3161 time-stamp tokens offline, at the token's
// own time, against roots that the verifier holds: RSA and ECDSA with SHA-2,
// and SM2 with SM3.
//
// It asks nobody for a token (anchor/tsa does), reads no clock, no file and no
// network, and builds for WASM.
//
// # What is checked
//
//   - CMS (RFC 5652): SignedData version 3, DER lengths throughout and nothing behind them, one
//     SignerInfo, content type TSTInfo. SM2 tokens come under the plain OIDs and under those of
//     GM/T 0010 (there with version 1 too).
//   - Signed attributes: content type, message digest over the TSTInfo as it stands, and
//     the signing certificate (ESSCertID, ESSCertIDv2 of RFC 5816), each once.
//   - TSTInfo: version 1, and the imprint is SHA-256, SHA-384, SHA-512 or SM3 of the whole statement.
//   - The signer's certificate: extended key usage critical and time-stamping alone, key usage for
//     signatures alone, no CA; a chain to a pinned root, valid at genTime, by the rules of RFC 5280.
//   - Signatures: RSA (PKCS #1 v1.5 and PSS, 2048 bits or more), ECDSA on the NIST curves, with
//     SHA-2; SM2 with SM3. No SHA-1, but in the fingerprint of an ESSCertID (RFC 2634 knows no
//     other), where the signature itself already binds the key.
//   - Revocation lists inside the token, where there are any.
//
// Every SM2 signature (the token's, its certificates', its lists') and every SM3 digest is
// computed by both SM libraries.
//
// # What a token's signature does not cover
//
// Three parts of a token can be changed by anybody without its signature failing, and none of them
// changes what [Verify] says, except that lists can be added or taken away: certificates that are
// not part of the chain (of those that are, the chain binds every bit), unsigned attributes, which are
// ignored, and the lists, each bound by its issuer's signature. So "not checked" says nothing of the
// authority, and everything of who made the file.
//
// # Libraries
//
// smx509 parses certificates and lists and builds chains: it is the standard library's crypto/x509
// with SM2. It takes SHA-1 under lists, elliptic curves given by parameters, keys of any size
// and algorithms of tomorrow; all of these are sorted out here before it is asked. emmansun's pkcs7
// is not used: it accepts BER and drops a parser's error, takes any version and content type,
// knows no PSS and no subject key identifier, signs off attributes after encoding them anew, and
// does not look at the signing certificate attribute; what remains would not be worth the risk.
//
// # Limits
//
// Nothing here asks for a list or an OCSP answer; OCSP answers inside a token are refused, as every other
// format in the field of lists. A token without signed attributes, or with content type data, as some older SM2
// authorities made them, is no token of RFC 3161. SM2 tokens are tried on the responder of test/tsa and, part by
// part, on openssl; none of a public SM2 authority was at hand.
//
// Whoever made the token, and whoever passed it on, may lie. The caller answers for the roots.
package timestamp
