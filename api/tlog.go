package api

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// tlog adds the doors of the ledger as a C2SP log (docs/spec/tiles.md). The
// checkpoint is for everybody, the tiles are the members'.
func (s *Server) tlog(r gin.IRouter) {
	log := r.Group("/tlog")
	stock := &stockCheckpoint{}
	log.GET("/checkpoint", s.do(func(c *gin.Context) error { return s.getStockCheckpoint(c, stock) }))
	tiles := log.Group("", s.signed)
	tiles.GET("/tile/:level/*path", s.do(s.getTile))
	tiles.GET("/sm3/tile/:level/*path", s.do(s.getSM3Tile))
}

// stockCheckpoint keeps the newest note in its stock form: to make it costs
// three signatures a member, and everybody may ask.
type stockCheckpoint struct {
	mu          sync.Mutex // guards both
	full, stock []byte
}

func (k *stockCheckpoint) of(full []byte, p *checkpoint.Policy, member string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !bytes.Equal(full, k.full) {
		stock, err := checkpoint.StockCheckpoint(full, p, member)
		if err != nil {
			return nil, err
		}
		k.full, k.stock = full, stock
	}
	return k.stock, nil
}

// getStockCheckpoint gives the newest sealed checkpoint as stock tools read it.
func (s *Server) getStockCheckpoint(c *gin.Context, stock *stockCheckpoint) error {
	full, _, ok, err := s.cfg.Chain.Checkpoint()
	if err != nil {
		return fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	if !ok {
		return &fault{kind: notFound, detail: "no checkpoint has met the seal quorum yet", retry: retryAfter}
	}
	note, err := stock.of(full, s.cfg.Chain.Policy(), s.cfg.Node)
	if err != nil {
		return tampered(err)
	}
	return raw(c, http.StatusOK, "text/plain; charset=utf-8", note)
}

// getTile gives a tile of the SHA-256 tree, or a bundle of entries.
func (s *Server) getTile(c *gin.Context) error {
	t, err := s.tileParam(c)
	if err != nil {
		return err
	}
	if t.bundle {
		return s.giveBundle(c, t)
	}
	return s.giveTile(c, t, func(d merkle.Digest) [32]byte { return d.SHA256 })
}

// getSM3Tile gives a tile of the SM3 tree. The entries are the same for both
// trees and have one address.
func (s *Server) getSM3Tile(c *gin.Context) error {
	t, err := s.tileParam(c)
	if err != nil {
		return err
	}
	if t.bundle {
		return faultf(badParameter, "level", "the entries of both trees are under /tlog/tile/entries/")
	}
	return s.giveTile(c, t, func(d merkle.Digest) [32]byte { return d.SM3 })
}

// tileParam reads the path, and refuses a tile that no sealed checkpoint covers.
func (s *Server) tileParam(c *gin.Context) (tile, error) {
	if err := noParams(c); err != nil {
		return tile{}, err
	}
	rest := strings.TrimPrefix(c.Param("path"), "/")
	t, field := parseTile(c.Param("level"), rest)
	switch {
	case field == "level":
		return t, faultf(badParameter, "level", "is a number from 0 to %d, or %s", maxLevel, bundles)
	case field != "" || c.Request.URL.RawPath != "": // percent signs where none are needed
		return t, faultf(badParameter, "path", "is a tile's index such as 007, x001/234 or x001/234.p/56")
	}
	if size, _ := s.cfg.Chain.SealedHead(); !t.within(size) {
		return t, faultf(notFound, "path", "no sealed checkpoint covers this tile yet")
	}
	return t, nil
}

// noParams refuses a query where none has a meaning: it would only make copies
// of one answer in caches.
func noParams(c *gin.Context) error {
	if c.Request.URL.RawQuery != "" {
		return &fault{kind: badParameter, detail: "this path takes no query", mend: "leave the query out"}
	}
	return nil
}

func (s *Server) giveTile(c *gin.Context, t tile, half func(merkle.Digest) [32]byte) error {
	hashes, err := s.hashes(t)
	if err != nil {
		return err
	}
	out := make([]byte, 0, len(hashes)*32)
	for _, d := range hashes {
		h := half(d)
		out = append(out, h[:]...)
	}
	cacheTile(c, t)
	return raw(c, http.StatusOK, "application/octet-stream", out)
}

// hashes reads a tile and compares it with the nodes above it that are stored
// too: one damaged node must not look like a forked ledger to those outside.
func (s *Server) hashes(t tile) ([]merkle.Digest, error) {
	level := t.level * tileHeight
	out := make([]merkle.Digest, t.width)
	for i := range out {
		d, err := s.cfg.Chain.Node(level, t.first()+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("reading a tile: %w", err)
		}
		out[i] = d
	}
	for at := 0; at < t.width; {
		height := bits.Len(uint(t.width-at)) - 1 // of the largest complete subtree from here
		want, err := s.cfg.Chain.Node(level+uint8(height), (t.first()+uint64(at))>>height)
		if err != nil {
			return nil, fmt.Errorf("reading a tile: %w", err)
		}
		if merkle.Root(out[at:at+1<<height]) != want {
			return nil, tampered(fmt.Errorf("tile %s of level %d: the nodes from %d on do not hash to the stored node above them", t.path(), t.level, at))
		}
		at += 1 << height
	}
	return out, nil
}

// giveBundle gives entries, each with its length, none that is not what its
// leaf in both trees says.
func (s *Server) giveBundle(c *gin.Context, t tile) error {
	var out []byte
	for i := range uint64(t.width) {
		index := t.first() + i
		entry, err := s.cfg.Chain.Entry(index)
		if err != nil {
			return fmt.Errorf("reading an entry bundle: %w", err)
		}
		leaf, err := s.cfg.Chain.Node(0, index)
		if err != nil {
			return fmt.Errorf("reading an entry bundle: %w", err)
		}
		if merkle.LeafHash(entry) != leaf {
			return tampered(fmt.Errorf("ledger entry %d does not hash to its leaf", index))
		}
		if len(entry) > math.MaxUint16 {
			return tampered(errors.New("a ledger entry is larger than the bounds of package evidence allow"))
		}
		out = binary.BigEndian.AppendUint16(out, uint16(len(entry)))
		out = append(out, entry...)
	}
	cacheTile(c, t)
	c.Header("Vary", "Accept-Encoding")
	if !acceptsGzip(c.Request.Header.Values("Accept-Encoding")) {
		return raw(c, http.StatusOK, "application/octet-stream", out)
	}
	small, err := compress(out)
	if err != nil {
		return err
	}
	c.Header("Content-Encoding", "gzip")
	return raw(c, http.StatusOK, "application/octet-stream", small)
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	_, err = z.Write(b)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	return out.Bytes(), nil
}

// cacheTile lets the caller keep what can never change. It is private because
// the tiles are the members': a shared cache does not ask who reads.
func cacheTile(c *gin.Context, t tile) {
	age := fullTileAge
	if !t.full() { // the next one replaces it
		age = partialTileAge
	}
	c.Header("Cache-Control", "private, max-age="+strconv.Itoa(int(age.Seconds()))+", immutable")
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3) as far as one coding
// goes. What it does not understand is a no.
func acceptsGzip(lines []string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			coding, weight, weighted := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			if !weighted {
				return true
			}
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return err == nil && q > 0
		}
	}
	return false
}
