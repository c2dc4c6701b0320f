"""ftgate: a self-hosted gateway to language models. One process, one SQLite file, one program file.

The words, one for each thing, in code, config, docs and logs:

    call         a request as the gate sees it                    key          an API key of ours
    account      whose credits pay                                channel      one configured way to a provider
    credential   one provider key in a channel                    address      where a channel takes a dialect
    model        what a caller names, at its price in a channel   candidate    channel, address, credential, model
    plan         the ordered candidates for a call                attempt      one try at one candidate
    outcome      how an attempt ended without an answer           hold         credits set aside for a call
    cap          the most tokens one answer may have              quote        what a call can cost at one candidate
    entry        an immutable row of the ledger                   settle       post what was used, release the rest
    dialect      a wire protocol                                  kind         what a model is for: chat, embeddings
    door         where HTTP comes in                              transport    how HTTP goes out
    meter        counts an answer's usage as it passes            row          an ended call as the log remembers it
    unit         10^-12 USD                                       boot         one life of a process on a data directory

The rooms, and who knows whom (tests/test_tidy.py holds the walls):

    core, dialects, providers     pure: decisions, protocols, the catalogue
    ports, errors                 the seams, and the tree of errors
    line                          one call from key to settle: gate.py is the story
    doors, transports             HTTP in, HTTP out; readiness is the epoll that both use
    store, accounts               what is remembered; who may call and who pays
    house                         the process: an open data directory, and what it takes to serve it
    config, cli, web              settings, commands, pages and the API
    app                           the only composer
"""

__version__ = "0.1.0"
