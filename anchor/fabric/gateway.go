package fabric

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	pb "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qifeng/anchor"
)

// GatewayConfig says how to reach a peer with the gateway service (Fabric 2.4 and
// later) and who we are to it. Files are PEM.
type GatewayConfig struct {
	Endpoint    string // host:port of one peer
	TLSCA       string // file: CA certificates of the peer's TLS
	TLSName     string // name in the peer's TLS certificate; "": the endpoint's
	MSP         string // of our organisation
	Certificate string // file: our identity
	Key         string // file: its private key, mode 0600
	Channel     string
	Chaincode   string
}

// gateway is a network that is reached through one peer's gateway service.
type gateway struct {
	conn      *grpc.ClientConn
	gw        *client.Gateway
	network   *client.Network
	chaincode string
	close     func() error
}

// OpenGateway makes a network of a peer's gateway service. It connects at the
// first call, and again whenever it must.
func OpenGateway(c GatewayConfig) (Network, error) {
	n, err := openGateway(c)
	if err != nil {
		return nil, fmt.Errorf("preparing the gateway client: %w", err)
	}
	return n, nil
}

func openGateway(c GatewayConfig) (*gateway, error) {
	if c.Endpoint == "" || c.MSP == "" || c.Channel == "" || c.Chaincode == "" {
		return nil, errors.New("endpoint, msp, channel and chaincode must be set")
	}
	id, sign, err := c.identity()
	if err != nil {
		return nil, err
	}
	ca, err := readFile(c.TLSCA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", c.TLSCA)
	}
	pause := backoff.DefaultConfig
	pause.MaxDelay = reconnect
	conn, err := grpc.NewClient(c.Endpoint,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: c.TLSName, MinVersion: tls.VersionTLS12})),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: 2 * reconnect}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepAlive}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	gw, err := client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(conn))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &gateway{
		conn: conn, gw: gw, network: gw.GetNetwork(c.Channel), chaincode: c.Chaincode,
		close: sync.OnceValue(func() error { return errors.Join(gw.Close(), conn.Close()) }),
	}, nil
}

func (c *GatewayConfig) identity() (identity.Identity, identity.Sign, error) {
	text, err := readFile(c.Certificate)
	if err != nil {
		return nil, nil, err
	}
	cert, err := identity.CertificateFromPEM(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificate %s: %w", c.Certificate, err)
	}
	id, err := identity.NewX509Identity(c.MSP, cert)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificate %s: %w", c.Certificate, err)
	}
	info, err := os.Stat(c.Key)
	if err != nil {
		return nil, nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, nil, fmt.Errorf("the key file %s may be read by others: chmod 600 %s", c.Key, c.Key)
	}
	if text, err = readFile(c.Key); err != nil {
		return nil, nil, err
	}
	key, err := identity.PrivateKeyFromPEM(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the key %s: not a private key in PEM", c.Key) // the cause might quote it
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || !k.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("the key %s is not the ECDSA key of the certificate %s", c.Key, c.Certificate)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the key %s: %w", c.Key, err)
	}
	return id, sign, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxKeyFile)
	}
	return b, err
}

// ready has the connection tried at once if it is not up, however long gRPC would
// still wait after earlier failures: the pause between attempts is the worker's. A
// call on a connection that is not up fails by itself, with the reason.
func (g *gateway) ready(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reconnect)
	defer cancel()
	for {
		state := g.conn.GetState()
		switch state {
		case connectivity.Ready, connectivity.Shutdown:
			return
		case connectivity.Idle:
			g.conn.Connect()
		case connectivity.TransientFailure: // which gRPC leaves only when it is up again
			g.conn.ResetConnectBackoff()
		}
		if !g.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// Evaluate implements Network.
func (g *gateway) Evaluate(ctx context.Context, chaincode string, args ...[]byte) ([]byte, error) {
	p, err := g.network.GetContract(chaincode).NewProposal(string(args[0]), client.WithBytesArguments(args[1:]...))
	if err != nil {
		return nil, fmt.Errorf("proposing %s of %s: %w", args[0], chaincode, err)
	}
	g.ready(ctx)
	out, err := p.EvaluateWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking a peer for %s of %s: %w", args[0], chaincode, explain(ctx, err))
	}
	return out, nil
}

// Endorse implements Network.
func (g *gateway) Endorse(ctx context.Context, args ...[]byte) (Endorsed, error) {
	p, err := g.network.GetContract(g.chaincode).NewProposal(string(args[0]), client.WithBytesArguments(args[1:]...))
	if err != nil {
		return Endorsed{}, fmt.Errorf("proposing %s: %w", args[0], err)
	}
	g.ready(ctx)
	tx, err := p.EndorseWithContext(ctx)
	if err != nil {
		if c := status.Code(err); c == codes.Aborted || c == codes.FailedPrecondition {
			err = fmt.Errorf("%w: %w", ErrApart, explain(ctx, err))
		} else {
			err = explain(ctx, err)
		}
		return Endorsed{}, fmt.Errorf("having %s endorsed: %w", args[0], err)
	}
	b, err := tx.Bytes()
	if err != nil {
		return Endorsed{}, err
	}
	var prepared pb.PreparedTransaction
	if err := proto.Unmarshal(b, &prepared); err != nil {
		return Endorsed{}, fmt.Errorf("reading an endorsed call: %w", err)
	}
	return Endorsed{TxID: tx.TransactionID(), Payload: prepared.GetEnvelope().GetPayload()}, nil
}

// Submit implements Network.
func (g *gateway) Submit(ctx context.Context, e Endorsed) (Commit, error) {
	b, err := proto.Marshal(&pb.PreparedTransaction{TransactionId: e.TxID, Envelope: &common.Envelope{Payload: e.Payload}})
	if err != nil {
		return Commit{}, err
	}
	tx, err := g.gw.NewTransaction(b)
	if err != nil {
		return Commit{}, fmt.Errorf("reading an endorsed call: %w", err)
	}
	commit, err := tx.SubmitWithContext(ctx)
	if err != nil {
		code, err := status.Code(err), fmt.Errorf("submitting transaction %s: %w", e.TxID, explain(ctx, err))
		switch code {
		case codes.Aborted, codes.FailedPrecondition, codes.InvalidArgument: // an orderer, or the peer, would not have it
			return Commit{}, err
		}
		return Commit{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	st, err := commit.StatusWithContext(ctx)
	if err != nil {
		return Commit{}, fmt.Errorf("%w: waiting for transaction %s: %w", ErrUnknown, e.TxID, explain(ctx, err))
	}
	return Commit{Block: st.BlockNumber, Code: int32(st.Code)}, nil
}

// Close implements Network.
func (g *gateway) Close() error { return g.close() }

// refusal is how a peer hands on what a chaincode refused with.
var refusal = regexp.MustCompile(`(?s)chaincode response \d+, (.*)$`)

// hints are what a peer says where an operator can help, and how; passes: it
// may pass by itself as well.
var hints = []struct {
	says, mend string
	passes     bool
}{
	{"creator org unknown", "the channel does not know the MSP id, or the certificate is not of that organisation (msp, cert)", false},
	{"access denied", "the peer does not take this identity (cert, key, and the channel's access rules)", false},
	{"could not get last config for channel", "the peer is in no channel of this name (channel, endpoint)", true},
	{"certificate signed by unknown authority", "the peer's TLS certificate is not of this CA (tls_ca)", false},
	{"x509: certificate is valid for", "the peer's TLS certificate bears another name (tls_name)", false},
	{"no peers available to evaluate chaincode", "no peer has a chaincode of this name on the channel, or it does not run (chaincode)", true},
}

// explain makes a [Rejection] of an error by which the chaincode refused, and the
// context's error of one that came of it.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	s := status.Convert(err)
	if s.Code() == codes.DeadlineExceeded { // ours, a moment before ctx says so, or the peer's
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	var said, other []string
	for _, d := range s.Details() {
		if e, ok := d.(*pb.ErrorDetail); ok {
			if m := refusal.FindStringSubmatch(e.GetMessage()); m != nil {
				said = append(said, m[1])
			} else {
				other = append(other, fmt.Sprintf("%s: %s", e.GetMspId(), e.GetMessage()))
			}
		}
	}
	if m := refusal.FindStringSubmatch(s.Message()); m != nil && len(said) == 0 {
		said = append(said, m[1])
	}
	if len(said) > 0 {
		return &Rejection{Messages: said}
	}
	if len(other) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(other, "; "))
	}
	for _, h := range hints {
		if strings.Contains(err.Error(), h.says) {
			if err = fmt.Errorf("%s: %w", h.mend, err); !h.passes {
				err = fmt.Errorf("%w: %w", anchor.ErrRefused, err)
			}
			return err
		}
	}
	return err
}
