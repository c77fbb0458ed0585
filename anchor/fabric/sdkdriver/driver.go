package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/golang/protobuf/proto"
	"github.com/hyperledger/fabric-protos-go/common"
	"github.com/hyperledger/fabric-sdk-go/pkg/client/channel"
	"github.com/hyperledger/fabric-sdk-go/pkg/client/channel/invoke"
	"github.com/hyperledger/fabric-sdk-go/pkg/client/msp"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"
	mspapi "github.com/hyperledger/fabric-sdk-go/pkg/common/providers/msp"
	"github.com/hyperledger/fabric-sdk-go/pkg/core/config"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/txn"
	"github.com/hyperledger/fabric-sdk-go/pkg/fabsdk"
	"github.com/pkg/errors"

	"qifeng/anchor/fabric/sdkwire"
)

const (
	maxTimeout = 2 * time.Minute
	// maxKey bounds certificate and key files.
	maxKey = 64 << 10
)

// driver holds one channel, and the one transaction that was endorsed last.
type driver struct {
	of        sdkwire.Open
	profile   *profile
	sdk       *fabsdk.FabricSDK
	client    *channel.Client
	endorsed  invoke.Response
	canSubmit bool
}

// open connects to the channel. It may be tried again after a failure.
func (d *driver) open(o *sdkwire.Open) (err error) {
	if d.client != nil {
		return errors.New("a channel is open already")
	}
	if d.profile, err = loadProfile(o.Profile, o.Channel, o.Organisation); err != nil {
		return err
	}
	cert, err := smallFile(o.Certificate)
	if err != nil {
		return err
	}
	key, err := smallFile(o.Key)
	if err != nil {
		return err
	}
	sdk, err := fabsdk.New(config.FromRaw(d.profile.text, "yaml"))
	if err != nil {
		return configErrorf("the connection profile %s: %v", o.Profile, err)
	}
	defer func() {
		if err != nil {
			sdk.Close()
		}
	}()
	people, err := msp.New(sdk.Context(), msp.WithOrg(d.profile.organisation))
	if err != nil {
		return configErrorf("organisation %s: %v", d.profile.organisation, err)
	}
	self, err := people.CreateSigningIdentity(mspapi.WithCert(cert), mspapi.WithPrivateKey(key))
	if err != nil {
		return configErrorf("certificate %s and key %s: %v", o.Certificate, o.Key, err)
	}
	client, err := channel.New(sdk.ChannelContext(o.Channel, fabsdk.WithIdentity(self), fabsdk.WithOrg(d.profile.organisation)))
	if err != nil {
		return fmt.Errorf("opening channel %s: %w", o.Channel, err)
	}
	d.of, d.sdk, d.client = *o, sdk, client
	if err := d.checkAuthorities(); err != nil {
		d.client = nil
		return err
	}
	return nil
}

func smallFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, configError{err}
	}
	if st.Size() > maxKey {
		return nil, configErrorf("%s has %d bytes, more than %d", filepath.Base(path), st.Size(), maxKey)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, configError{err}
	}
	return b, nil
}

// evaluate asks the own organisation's peers in turn until one answers.
func (d *driver) evaluate(chaincode string, args [][]byte, timeout time.Duration) (*sdkwire.Answer, error) {
	request, err := requestOf(chaincode, args)
	if err != nil {
		return nil, err
	}
	var first error
	for _, name := range d.profile.peers {
		r, err := d.client.InvokeHandler(
			invoke.NewEndorsementHandler(invoke.NewEndorsementValidationHandler()), request,
			channel.WithTargetEndpoints(name), channel.WithTimeout(fab.Execute, timeout), channel.WithTimeout(fab.Query, timeout))
		if err == nil {
			return &sdkwire.Answer{Result: r.Payload}, nil
		}
		if len(chaincodeMessages(err)) > 0 {
			return nil, err
		}
		if first == nil {
			first = errors.WithMessage(err, "asking "+name) // the SDK knows its errors by this library's causes
		}
	}
	return nil, first
}

// endorse has a call endorsed by the peers that discovery names for the
// chaincode's policy.
func (d *driver) endorse(args [][]byte, timeout time.Duration) (*sdkwire.Answer, error) {
	request, err := requestOf(d.of.Chaincode, args)
	if err != nil {
		return nil, err
	}
	d.canSubmit = false
	r, err := d.client.InvokeHandler(
		invoke.NewSelectAndEndorseHandler(invoke.NewEndorsementValidationHandler(invoke.NewSignatureValidationHandler())),
		request, channel.WithTimeout(fab.Execute, timeout))
	if err != nil {
		return nil, err
	}
	tx, err := txn.New(fab.TransactionRequest{Proposal: r.Proposal, ProposalResponses: r.Responses})
	if err != nil {
		return nil, fmt.Errorf("making the transaction: %w", err)
	}
	payload, err := payloadOf(tx)
	if err != nil {
		return nil, err
	}
	d.endorsed, d.canSubmit = invoke.Response(r), true
	return &sdkwire.Answer{TxID: string(r.TransactionID), Result: payload}, nil
}

// payloadOf is the payload of the envelope that submitting tx would send.
func payloadOf(tx *fab.Transaction) ([]byte, error) {
	header := &common.Header{}
	if err := proto.Unmarshal(tx.Proposal.Header, header); err != nil {
		return nil, fmt.Errorf("reading the own proposal: %w", err)
	}
	data, err := proto.Marshal(tx.Transaction)
	if err != nil {
		return nil, fmt.Errorf("writing the transaction: %w", err)
	}
	out, err := proto.Marshal(&common.Payload{Header: header, Data: data})
	if err != nil {
		return nil, fmt.Errorf("writing the payload: %w", err)
	}
	return out, nil
}

// submit has the transaction that was endorsed last ordered, and waits for a
// peer's word that it was committed.
func (d *driver) submit(txID string, timeout time.Duration) (*sdkwire.Answer, error) {
	if !d.canSubmit || string(d.endorsed.TransactionID) != txID {
		return nil, errors.New("this transaction was not the last to be endorsed")
	}
	d.canSubmit = false
	commit := &commitHandler{endorsed: d.endorsed}
	_, err := d.client.InvokeHandler(commit, channel.Request{ChaincodeID: d.of.Chaincode, Fcn: "put"},
		channel.WithTimeout(fab.Execute, timeout))
	if err != nil {
		if commit.handedOver.Load() {
			err = unknownError{err}
		}
		return nil, err
	}
	return &sdkwire.Answer{TxID: txID, Block: commit.block, Code: int32(commit.code)}, nil
}

func requestOf(chaincode string, args [][]byte) (channel.Request, error) {
	if chaincode == "" || len(args) == 0 || len(args[0]) == 0 {
		return channel.Request{}, errors.New("a call needs a chaincode and a function")
	}
	return channel.Request{ChaincodeID: chaincode, Fcn: string(args[0]), Args: args[1:]}, nil
}
