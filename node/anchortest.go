package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"qifeng/anchor"
	"qifeng/api/client"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

func (a *app) anchorTestCmd() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "做一次真实的锚定往返 · Do one real round trip with an anchor",
		Long: `用节点最新的已会签检查点（或 --checkpoint 文件）向所名的锚定做一次真实往返，并按锚定信任根验证回执；失败时说明
原因与处理办法。不写入成员目录。见证人与 Fabric 需要一致性路径，向节点读取它须有读取密钥。
Has the newest sealed checkpoint of the running node, or of a file (--checkpoint), witnessed by the
named anchor, and verifies the receipt under the anchor roots. Where it fails it says why and what
to mend. Nothing is written into the home. Witnesses and Fabric want a consistency path, which is
read from the node with a read key.`,
		Example: example("qifeng anchor test tsa --home ./court-a", "qifeng anchor test tsa --home ./court-a --checkpoint note.txt"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return a.anchorTest(ctx, args[0], note)
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.readKeyFlag(cmd)
	cmd.Flags().StringVar(&note, "checkpoint", "", "检查点文件，默认取自节点 · file with a sealed checkpoint, default the node's newest")
	return cmd
}

func (a *app) anchorTest(ctx context.Context, name, notePath string) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	c, ok := cfg.Anchor[name]
	if !ok {
		return usagef("%s has no [anchor.%s]; it has: %s", a.home.path(configName), name, strings.Join(cfg.anchorNames(), ", "))
	}
	cons, err := homeConsortium(a.home, cfg)
	if err != nil {
		return err
	}
	files, err := loadAnchorFiles(a.home, cfg, cons.ChainID)
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	policy, err := loadPolicy(a.home.path(policyName))
	if err != nil {
		return err
	}
	ledger := &remoteLedger{ctx: ctx, a: a}
	note, err := a.testNote(ctx, notePath, ledger)
	if err != nil {
		return err
	}
	sealed, err := checkpoint.Open(note, policy, checkpoint.Options{})
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	if !sealed.Met {
		a.note("检查点未达到会签门槛，不可锚定：%s", "the checkpoint does not meet the seal quorum and is not to be anchored: %s", sealed.Missing)
		return quietExit(exitNotProved)
	}
	d, err := anchorDriver(a.home, name, &c, files.roots, policy, slog.New(slog.DiscardHandler))
	if err != nil {
		return usagef("[anchor.%s] %w", name, err)
	}
	cp := anchor.Checkpoint{Size: sealed.Size, Root: sealed.Root, Note: note}
	err = a.roundTrip(ctx, name, &c, d, cp, ledger, policy, files)
	return errors.Join(err, d.Close())
}

// roundTrip is one attempt as the running node makes it, but that nothing is stored.
func (a *app) roundTrip(ctx context.Context, name string, c *AnchorConfig, d anchor.Anchor, cp anchor.Checkpoint, ledger anchor.Ledger, policy *checkpoint.Policy, files *anchorFiles) error {
	began := time.Now()
	receipt, err := a.put(ctx, c, d, cp, ledger)
	var conflict *anchor.Conflict
	if errors.As(err, &conflict) {
		a.note("冲突：见证持有总账大小 %d 的另一状态。请保留双方陈述：", "CONFLICT: the witness holds another state of the ledger at size %d. Keep both statements:", conflict.Size)
		fmt.Fprintf(a.errw, "%s\n---\n%s\n", conflict.Ours, oneLine(string(conflict.Theirs)))
		return err
	}
	if err != nil {
		return fmt.Errorf("[anchor.%s] %w", name, a.anchorHint(err))
	}
	took := time.Since(began)
	got := proof.Anchor{Kind: d.Kind(), Name: name, Checkpoint: receipt.Note, Receipt: receipt.Data}
	report, err := proof.VerifyAnchor(&got, policy, files.roots)
	if err != nil {
		return fmt.Errorf("[anchor.%s] the service answers, and its receipt does not verify under %s: %w", name, "the anchor roots", a.anchorHint(err))
	}
	a.say("锚定 %s 可用：总账 %d，往返 %v，回执 %d 字节，已在锚定信任根下验证", "anchor %s works: ledger size %d, round trip %v, receipt of %d bytes, verified under the anchor roots",
		name, report.Size, took.Round(time.Millisecond), len(receipt.Data))
	fmt.Fprintf(a.out, "  %s\n", a.lang.T(report.Detail.ZH, report.Detail.EN))
	a.say("锚定信任根的指纹：SM3 %x", "fingerprint of the anchor roots: SM3 %x", files.fingerprint().SM3)
	return nil
}

// put makes one attempt. Peers of a Fabric network that are apart for some seconds,
// as after its start, are waited for, as the running node waits; all else is said
// at once.
func (a *app) put(ctx context.Context, c *AnchorConfig, d anchor.Anchor, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, c.timeout())
		receipt, err := d.Put(attempt, cp, ledger)
		cancel()
		if err == nil || !peersApart(err) {
			return receipt, err
		}
		a.note("Fabric 各节点尚未互通，再试：%v", "the peers of the Fabric network do not agree yet, trying again: %v", err)
		select {
		case <-ctx.Done():
			return receipt, err
		case <-time.After(apartPause):
		}
	}
}

// testNote is the checkpoint to be witnessed.
func (a *app) testNote(ctx context.Context, path string, l *remoteLedger) ([]byte, error) {
	if path != "" {
		b, err := readSmall(path, maxSmallFile)
		if err != nil {
			return nil, &codeError{code: exitUsage, err: err}
		}
		return b, nil
	}
	c, err := l.open()
	if err != nil {
		return nil, err
	}
	note, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the node for its newest checkpoint (or name a file with --checkpoint): %w", err)
	}
	return note, nil
}

// remoteLedger gives paths out of the running node's ledger. Nothing of it is
// believed: whoever is given a path checks it.
type remoteLedger struct {
	ctx    context.Context // of the one command
	a      *app
	client *client.Client
}

// open makes the client, which signs what it reads if there is a key to sign with.
func (l *remoteLedger) open() (*client.Client, error) {
	if l.client != nil {
		return l.client, nil
	}
	key, err := l.a.readingKey("读取一致性路径须签名", "reading a consistency path is signed")
	if err == nil {
		l.client, err = l.a.readingClient(key)
	} else {
		l.client, err = l.a.client()
	}
	return l.client, err
}

// Consistency implements anchor.Ledger.
func (l *remoteLedger) Consistency(m, n uint64) ([]merkle.Digest, error) {
	c, err := l.open()
	if err != nil {
		return nil, err
	}
	answer, err := c.Consistency(l.ctx, m, n)
	if err != nil {
		return nil, fmt.Errorf("asking the node for the path from %d to %d: %w", m, n, err)
	}
	return client.PathOf(answer)
}

// HTTP statuses in the words of a driver, and not digits of a port or a size.
var (
	statusDenied = regexp.MustCompile(`\b40[13]\b`)
	statusAbsent = regexp.MustCompile(`\b404\b`)
)

// hintFor says in both languages what an operator can do about an error of an
// anchor; nothing where it is not known.
func hintFor(err error) (zh, en string) {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	var dns *net.DNSError
	switch text := err.Error(); {
	case errors.As(err, &unknown):
		return "服务的 TLS 证书由未知机构签发：把其 CA 证书 (PEM) 写入 ca（或 tls_ca）", "its TLS certificate is by an unknown authority: name that CA's PEM file in ca (or tls_ca)"
	case errors.As(err, &host):
		return "TLS 证书上的名称与地址不符：改用证书上的名称（fabric：tls_name）", "its TLS certificate is for another name: use a name that is in it (fabric: tls_name)"
	case errors.As(err, &cert):
		return "服务的 TLS 证书不被接受，见上", "its TLS certificate is not accepted, as said above"
	case errors.As(err, &dns):
		return "地址中的主机名无法解析：检查 url（或 endpoint）与 DNS", "the host name cannot be resolved: see url (or endpoint) and the DNS"
	case errors.Is(err, context.DeadlineExceeded):
		return "服务在 timeout 内没有应答：检查地址、防火墙与代理，或加大 timeout", "it did not answer within timeout: see the address, firewalls and proxies, or raise timeout"
	case errors.As(err, &op) && op.Op == "dial":
		return "连接被拒绝：服务是否在运行，url（或 endpoint）是否正确", "the connection was refused: does it run, and is url (or endpoint) right"
	case client.HasCode(err, "signature-missing"):
		return "生成并登记读取密钥：qifeng key new read，再 qifeng key register --purpose read", "make and register a read key: qifeng key new read, then qifeng key register --purpose read"
	case strings.Contains(text, "application/timestamp-reply"):
		return "该地址不是时间戳机构：检查 url 的路径", "this address is no time-stamp authority: see the path in url"
	case errors.Is(err, proof.ErrAnchor), errors.Is(err, timestamp.ErrToken), errors.Is(err, fabric.ErrReceipt), errors.Is(err, checkpoint.ErrTampered):
		return "回执不由所配的根签发：与该机构核对根证书（或 vkey），再运行 qifeng anchor roots --force", "the receipt is not by the roots that are configured: compare root certificates (or vkey) with its operator, then qifeng anchor roots --force"
	case statusDenied.MatchString(text):
		return "服务拒绝了我们的身份：检查 user 与 password_file；见证人：请其登记本日志的密钥", "it refuses who we are: see user and password_file; at a witness, have it register the keys of this log"
	case statusAbsent.MatchString(text):
		return "该地址没有此服务，或见证人未登记本日志：检查 url；见证人：请其登记本日志的密钥", "there is no such service at this address, or the witness does not know this log: see url; have it register the keys of this log"
	case peersApart(err):
		return "Fabric 各组织的节点没有就背书达成一致：稍候再试；若持续，检查各组织的节点、链码进程与 gossip", "the peers of the organisations do not agree on the endorsement: try again in a moment; if it lasts, see their peers, chaincode processes and gossip"
	case errors.Is(err, anchor.ErrRefused):
		return "重试无用，须由对方的运维处理，见上", "to try again does not help; its operator must act, as said above"
	}
	return "", ""
}
