package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/evidence/canon"
)

// giveRange answers a request by its one receipt, whose state is that of one
// batch (docs/spec/receipt.md). Nothing here is done per record.
func (s *Server) giveRange(c *gin.Context, r *archive.Range, d time.Duration) error {
	batch := batchName{r.Node, r.Seq}
	var state wire.State
	err := s.wait(c, d, func() (ok bool, err error) {
		state, _, err = s.where(batch)
		return state.Reached(wire.Sealed), err
	})
	if err != nil {
		return err
	}
	applied(c, preferences{minimal: true, wait: d})
	return raw(c, http.StatusCreated, "application/json", encodeRange(s.cfg.Chain.ChainID(), state, r))
}

// encodeRange writes a [wire.Compact].
func encodeRange(chain string, state wire.State, r *archive.Range) []byte {
	const fixed, pair, escapes = 256, 160, 2 // head is mostly text, its quotation marks are escaped
	w := canon.NewWriter(make([]byte, 0, fixed+escapes*len(r.Head)+pair*len(r.Path)))
	w.Object().Key("chain").String(chain).Key("count").Int(r.Count).Key("node").String(r.Node).
		Key("receipt").Object().Key("first").Int(r.First).Key("head").String(string(r.Head)).Key("path").Digests(r.Path).EndObject().
		Key("seq").Int(r.Seq).Key("state").String(string(state)).EndObject()
	return append(w.Bytes(), '\n')
}
