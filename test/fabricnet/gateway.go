package fabricnet

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"qifeng/proof/fabric"
)

// Contract is the chaincode as a user of the organisation reaches it, through the
// organisation's own peer. The connection is closed with the test.
func (o *Organisation) Contract(t testing.TB) *client.Contract {
	t.Helper()
	return o.Network(t).GetContract(o.net.Chaincode)
}

// Network is the channel, reached likewise.
func (o *Organisation) Network(t testing.TB) *client.Network {
	t.Helper()
	g, err := o.connect(t)
	if err != nil {
		t.Fatalf("connecting to the gateway of %s: %v", o.Name, err)
	}
	return g.GetNetwork(o.net.Channel)
}

func (o *Organisation) connect(t testing.TB) (*client.Gateway, error) {
	t.Helper()
	var pems [3][]byte
	var err error
	for i, path := range []string{o.Peer.TLSCA, o.User.Certificate, o.User.Key} {
		if pems[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pems[0])
	cert, err := identity.CertificateFromPEM(pems[1])
	if err != nil {
		return nil, err
	}
	id, err := identity.NewX509Identity(o.MSP, cert)
	if err != nil {
		return nil, err
	}
	key, err := identity.PrivateKeyFromPEM(pems[2])
	if err != nil {
		return nil, err
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(o.Peer.Endpoint, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, o.Peer.TLSName)))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	g, err := client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(conn),
		client.WithEvaluateTimeout(10*time.Second), client.WithEndorseTimeout(15*time.Second),
		client.WithSubmitTimeout(10*time.Second), client.WithCommitStatusTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { g.Close() })
	return g, nil
}

// Ready waits until both peers know both chaincode processes: before that, calls
// fail for want of endorsers.
func (n *Net) Ready(t testing.TB) {
	t.Helper()
	for i := range n.Organisations {
		o := &n.Organisations[i]
		c, all := o.Contract(t), []string{}
		for _, other := range n.Organisations {
			all = append(all, other.MSP)
		}
		deadline := time.Now().Add(40 * time.Second)
		for {
			err := endorsable(c, all...)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("calls through %s are not endorsed after 40 s: %v", o.Peer.Name, err)
			}
			time.Sleep(100 * time.Millisecond) // between two looks, never for a result
		}
	}
}

// endorsable asks for the head of a log that there is not: the chaincode's refusal
// shows that the gateway knows the chaincode at every organisation named. (Unless
// told whom, it asks its own first, and looks for the others only after a success.)
func endorsable(c *client.Contract, msps ...string) error {
	p, err := c.NewProposal(fabric.FunctionHead, client.WithArguments("qifeng/nobody-00000000"), client.WithEndorsingOrganizations(msps...))
	if err != nil {
		return err
	}
	if _, err = p.Endorse(); err == nil {
		return errors.New("a log that there is not was found")
	}
	if strings.Contains(Reason(err), "NOTFOUND") {
		return nil
	}
	return err
}

// Reason is what a gateway error says, with what each endorser said.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	said := []string{err.Error()}
	for _, d := range status.Convert(err).Details() {
		if e, ok := d.(*gateway.ErrorDetail); ok {
			said = append(said, fmt.Sprintf("%s: %s", e.GetMspId(), e.GetMessage()))
		}
	}
	return strings.Join(said, "; ")
}
