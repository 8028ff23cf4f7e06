package dns

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A question is a name and the type of its addresses.
type question struct {
	name string // lower case, with its last dot
	q    dnsmessage.Question
}

// newQuestion fails if the name is none: too long, or with an empty label.
func newQuestion(name string, t dnsmessage.Type) (question, error) {
	name = strings.ToLower(strings.TrimSuffix(name, ".")) + "."
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return question{}, err
	}
	q := question{name, dnsmessage.Question{Name: n, Type: t, Class: dnsmessage.ClassINET}}
	_, _, err = q.pack()
	return q, err
}

// pack returns the message that asks the question, with a random ID.
func (q question) pack() (message []byte, id uint16, err error) {
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, 0, err
	}
	id = binary.BigEndian.Uint16(random[:])
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q.q},
	}
	message, err = m.Pack()
	return message, id, err
}

// answeredBy reports whether message is the response to q with that ID, and not
// something that somebody else made up.
func (q question) answeredBy(message []byte, id uint16) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != id {
		return false
	}
	got, err := p.Question()
	return err == nil && got.Type == q.q.Type && got.Class == q.q.Class && strings.EqualFold(got.Name.String(), q.name)
}

// read returns the addresses in a response: those of the name, or of the names that
// CNAME records lead to.
func (q question) read(message []byte) (a Answer, truncated bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil {
		return Answer{}, false, err
	}
	switch {
	case h.Truncated:
		return Answer{}, true, nil
	case h.RCode == dnsmessage.RCodeNameError:
		return Answer{}, false, nil
	case h.RCode != dnsmessage.RCodeSuccess:
		return Answer{}, false, fmt.Errorf("server failed: %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	if err := p.SkipAllQuestions(); err != nil {
		return Answer{}, false, err
	}
	records, err := p.AllAnswers()
	if err != nil {
		return Answer{}, false, err
	}
	return q.follow(records), false, nil
}

func (q question) follow(records []dnsmessage.Resource) Answer {
	var a Answer
	name, least := q.name, ^uint32(0)
	for range records { // no more steps than records: a circle ends
		next := ""
		for _, r := range records {
			if !strings.EqualFold(r.Header.Name.String(), name) {
				continue
			}
			switch body := r.Body.(type) {
			case *dnsmessage.AResource:
				a.Addrs = append(a.Addrs, netip.AddrFrom4(body.A))
			case *dnsmessage.AAAAResource:
				a.Addrs = append(a.Addrs, netip.AddrFrom16(body.AAAA))
			case *dnsmessage.CNAMEResource:
				next = body.CNAME.String()
			default:
				continue
			}
			least = min(least, r.Header.TTL)
		}
		if len(a.Addrs) > 0 {
			a.Addrs = ofType(a.Addrs, q.q.Type)
			a.TTL = time.Duration(least) * time.Second
			return a
		}
		name = next
	}
	return a
}
