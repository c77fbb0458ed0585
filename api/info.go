package api

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/chain"
)

// render writes an answer as JSON. Our own types always marshal.
func render(c *gin.Context, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return raw(c, status, "application/json", b.Bytes())
}

// raw writes bytes that are what they are.
func raw(c *gin.Context, status int, contentType string, b []byte) error {
	// net/http knows the length of short answers only, and sends others in chunks.
	c.Header("Content-Length", strconv.Itoa(len(b)))
	c.Data(status, contentType, b)
	return nil
}

// getCheckpoint gives the newest sealed checkpoint as a signed note.
func (s *Server) getCheckpoint(c *gin.Context) error {
	note, _, ok, err := s.cfg.Chain.Checkpoint()
	if err != nil {
		return fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	if !ok {
		return &fault{kind: notFound, detail: "no checkpoint has met the seal quorum yet", retry: retryAfter}
	}
	return raw(c, http.StatusOK, "text/plain; charset=utf-8", note)
}

// getSeals gives the seals held for ?size=, by default the newest sealed size.
func (s *Server) getSeals(c *gin.Context) error {
	size, given, err := sizeParam(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	if !given {
		_, newest, ok, err := s.cfg.Chain.Checkpoint()
		if err != nil {
			return fmt.Errorf("reading the newest checkpoint: %w", err)
		}
		if !ok {
			return faultf(notFound, "size", "no checkpoint has met the seal quorum yet")
		}
		size = newest
	}
	seals, cp, err := s.cfg.Chain.Seals(size)
	if err != nil && !errors.Is(err, chain.ErrNotFound) {
		return fmt.Errorf("reading the seals of size %d: %w", size, err)
	}
	if len(seals) == 0 {
		return faultf(notFound, "size", "no seal is held for this size")
	}
	out := wire.Seals{Size: cp.Size, Body: string(cp.Body()), Seals: make([]wire.Seal, len(seals))}
	for i, seal := range seals {
		out.Seals[i] = wire.Seal{
			Member: seal.Member, Time: seal.Time,
			Log:     hex.EncodeToString(seal.Log[:]),
			Ed25519: hex.EncodeToString(seal.Ed25519[:]),
			SM2:     hex.EncodeToString(seal.SM2[:]),
		}
	}
	return render(c, http.StatusOK, out)
}

// getPolicy gives the trust policy as text. Nobody should trust it from here.
func (s *Server) getPolicy(c *gin.Context) error {
	text, err := s.cfg.Chain.Policy().Marshal()
	if err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	return raw(c, http.StatusOK, "text/plain; charset=utf-8", text)
}

// getGenesis gives the canonical genesis, byte for byte.
func (s *Server) getGenesis(c *gin.Context) error {
	return raw(c, http.StatusOK, "application/json", s.genesis.Raw)
}

// getMembers gives the members of the newest epoch with their names and addresses.
func (s *Server) getMembers(c *gin.Context) error {
	p := s.cfg.Chain.Policy()
	epoch := p.Epochs[len(p.Epochs)-1]
	out := wire.Members{Chain: p.Chain, Members: make([]wire.Member, len(epoch.Members))}
	for i, m := range epoch.Members {
		out.Members[i] = wire.Member{
			ID: m.ID, Role: string(m.Role),
			SealSM2: m.SealSM2.String(), SealEd25519: m.SealEd25519.String(),
			Log: m.Log.String(), Intake: m.Intake.String(), Admin: m.Admin.String(),
		}
		if card, ok := s.genesis.Card(m.ID); ok {
			out.Members[i].Name, out.Members[i].API = card.Name, card.API
		}
	}
	return render(c, http.StatusOK, out)
}
