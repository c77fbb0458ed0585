// Package tsa asks an RFC 3161 time-stamp authority for tokens over HTTP: an
// implementation of anchor.Anchor.
//
// The receipt is the token, DER, over the checkpoint's note as it stands, with the
// revocation lists of its certificates put into the token's unsigned field where
// their issuers offer them. Each token is verified by package proof/timestamp before
// it is returned, as a court would. That it answers this very request is seen by its
// nonce, and that the authority's clock agrees with ours within a minute is checked
// too: a court takes the token's word for the time.
//
// It is no verifier, and it keeps nothing but the lists that it fetched: an authority
// holds no state that could contradict the ledger, so there is never a conflict.
//
// The authority may lie in all that it answers, and so may whoever stands between in
// plain HTTP, which most authorities speak: a token is judged by its signature, and
// all that they can do is not to answer. The addresses of revocation lists are read
// from certificates that lead to a pinned root, and what comes from there is bound by
// its issuer's signature. A list that cannot be had, or used, costs no receipt; one
// that revokes the authority's certificate does.
package tsa
