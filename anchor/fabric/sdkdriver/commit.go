package main

import (
	"fmt"
	"sync/atomic"

	"github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/client/channel/invoke"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"
)

// commitHandler submits what was endorsed before. The SDK's own commit handler
// keeps to itself in which block the transaction is.
type commitHandler struct {
	endorsed   invoke.Response
	handedOver atomic.Bool // from here on nobody knows until the event comes
	block      uint64
	code       peer.TxValidationCode
}

// Handle is called once: nothing here is tried again.
func (h *commitHandler) Handle(r *invoke.RequestContext, c *invoke.ClientContext) {
	reg, events, err := c.EventService.RegisterTxStatusEvent(string(h.endorsed.TransactionID))
	if err != nil {
		r.Error = fmt.Errorf("listening for the commit: %w", err)
		return
	}
	defer c.EventService.Unregister(reg)
	tx, err := c.Transactor.CreateTransaction(fab.TransactionRequest{Proposal: h.endorsed.Proposal, ProposalResponses: h.endorsed.Responses})
	if err != nil {
		r.Error = fmt.Errorf("making the transaction: %w", err)
		return
	}
	h.handedOver.Store(true)
	if _, err := c.Transactor.SendTransaction(tx); err != nil {
		r.Error = fmt.Errorf("handing the transaction to the orderers: %w", err)
		return
	}
	select {
	case e := <-events:
		h.block, h.code = e.BlockNumber, e.TxValidationCode
	case <-r.Ctx.Done():
		r.Error = fmt.Errorf("waiting for the commit: %w", r.Ctx.Err())
	}
}
