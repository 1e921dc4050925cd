"""The table of the layouts of price files that are recognised.

To add a layout: add an entry to LAYOUTS, and a sample to `tests/core/market/files/vendor_samples.txt`. The names of
columns that give them their roles in every layout are in `core/market/files/names.py`.
"""

import sys
from dataclasses import dataclass, field

EPOCH = r"\d{9,19}(\.\d+)?"
DOTTED_DATE = r"\d{4}\.\d\d\.\d\d"
ANY_TIME = r"\d{1,4}[-/.]?\d{1,2}[-/.]?\d{1,4}([ T].*)?|" + EPOCH
TIME_OF_DAY = r"([01]?\d|2[0-4]):?[0-5]\d(:?[0-5]\d([.]\d+)?)?"
SYMBOL = r"[A-Za-z^$][\w.^=-]*"
PERIOD = r"[A-Za-z]?\d{0,6}[A-Za-z]?"
ANY = ".*"
BROKER_TIME = "the times are the broker's, which are rarely UTC; `timezone` names their zone"


@dataclass(frozen=True)
class Layout:
    """One way in which price files are written.

    name        the value of `format` that selects the layout
    written_by  the vendors, libraries and tools that write it
    columns     the names of the columns. A header with all of them has this layout; columns in brackets may be missing.
                Files without a header have exactly these columns
    first       regular expressions for the first cells of a file without a header
    roles       which column has which role, where the name does not show it
    timezone    the zone of times without offset, where the layout fixes it
    note        what a user must know about the layout
    decimal_point  true: the programs write a decimal point everywhere, so 151.234 is never 151,234
    general     true: the layout is only for files without a header, because its header does not show who wrote a file
    """

    name: str
    written_by: str
    columns: str
    first: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)
    timezone: str = ""
    note: str = ""
    decimal_point: bool = False
    general: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in their order, without brackets."""
        return tuple(name.strip("[]") for name in self.columns.split(","))

    @property
    def required(self) -> frozenset[str]:
        """The names of the columns that a file must have."""
        return frozenset(name for name in self.columns.split(",") if not name.startswith("["))


PLAIN = Layout(
    "plain",
    "this system; exact names, commas, ISO 8601 or an epoch",
    "timestamp,open,high,low,close,volume",
    note="read as older releases did: nothing is repaired, dropped or adjusted",
)
BY_NAME = Layout(
    "by_name",
    "any program: the columns are found by their names",
    "date,open,high,low,close,[volume]",
)

# A file has the first layout that fits, so special ones come before general ones.
LAYOUTS = (
    Layout(
        "binance_klines",
        "Binance: monthly and daily archives, API; epoch in ms, since 2025 in µs",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
        first=(EPOCH,),
    ),
    Layout(
        "kraken_ohlcvt",
        "Kraken: archives of OHLCVT",
        "timestamp,open,high,low,close,volume,trades",
        first=(EPOCH,),
    ),
    Layout(
        "kaiko_cohlcvwap",
        "Kaiko: trade count, OHLCV and VWAP",
        "timestamp,count,open,high,low,close,volume,price",
        first=(EPOCH,),
    ),
    Layout("kraken_api", "Kraken: API", "timestamp,open,high,low,close,vwap,volume,count", first=(EPOCH,)),
    Layout("okx_candles", "OKX: API", "ts,open,high,low,close,vol,vol_ccy,vol_ccy_quote,confirm", first=(EPOCH,)),
    Layout("kucoin_klines", "KuCoin: API", "timestamp,open,close,high,low,volume,turnover", first=(EPOCH,)),
    Layout("gateio_candles", "Gate.io: archives", "timestamp,volume,close,high,low,open", first=(EPOCH,)),
    Layout("bybit_kline", "Bybit: API", "start,open,high,low,close,volume,turnover", first=(EPOCH,)),
    Layout(
        "coinbase_candles",
        "Coinbase Exchange: API; low and high come first",
        "timestamp,low,high,open,close,volume",
        first=(EPOCH,),
    ),
    Layout(
        "bitfinex_candles",
        "Bitfinex: API; close comes second",
        "timestamp,open,close,high,low,volume",
        first=(EPOCH,),
    ),
    Layout(
        "histdata_ascii",
        "HistData.com: Generic ASCII; its volumes are 0",
        "timestamp,open,high,low,close,volume",
        first=(r"\d{8} \d{6}", ANY, ANY, ANY, ANY, "0"),
        timezone="Etc/GMT+5",
        note="its times are Eastern Standard Time without daylight saving",
        decimal_point=True,
    ),
    Layout(
        "ninjatrader",
        "NinjaTrader, Portara: minutes",
        "timestamp,open,high,low,close,volume",
        first=(r"\d{8} \d{6}",),
        note="NinjaTrader exports times in UTC; `timezone` names another zone",
        decimal_point=True,
    ),
    Layout(
        "iqfeed",
        "DTN IQFeed: intervals; high and low come first",
        "timestamp,high,low,open,close,total_volume,volume,trades",
        first=(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",),
    ),
    Layout(
        "metatrader4",
        "MetaTrader 4: History Center; HistData.com: MetaTrader",
        "date,time,open,high,low,close,volume",
        first=(DOTTED_DATE, TIME_OF_DAY),
        note=BROKER_TIME,
        decimal_point=True,
    ),
    Layout(
        "metatrader5",
        "MetaTrader 5: Symbols, Export Bars",
        "date,[time],open,high,low,close,tickvol,vol,spread",
        roles={"volume": "tickvol"},
        note=BROKER_TIME,
        decimal_point=True,
    ),
    Layout(
        "without_header",
        "FirstRate Data, Kibot, dukascopy-node, spreadsheets: no header",
        "timestamp,open,high,low,close,volume",
        first=(ANY_TIME,),
        general=True,
    ),
    Layout(
        "without_header_or_volume",
        "dukascopy-node, spreadsheets: no header and no volume",
        "timestamp,open,high,low,close",
        first=(ANY_TIME,),
        general=True,
    ),
    Layout(
        "date_time_without_header",
        "Kibot, FirstRate Data: no header, date and time in two columns",
        "date,time,open,high,low,close,volume",
        first=(ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout(
        "date_time_without_header_or_volume",
        "spreadsheets: no header, date and time in two columns, no volume",
        "date,time,open,high,low,close",
        first=(ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout(
        "symbol_without_header",
        "MetaStock ASCII, EODData, KLSE: no header, the instrument first",
        "symbol,date,open,high,low,close,volume",
        first=(SYMBOL, ANY_TIME),
        general=True,
    ),
    Layout(
        "symbol_time_without_header",
        "AmiBroker, TrueData: no header, the instrument first, date and time in two columns",
        "symbol,date,time,open,high,low,close,volume,openint",
        first=(SYMBOL, ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout(
        "stooq_without_header",
        "Stooq, BOSSA: no header",
        "symbol,per,date,time,open,high,low,close,volume,openint",
        first=(SYMBOL, PERIOD, ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout(
        "metastock_without_header",
        "MetaStock ASCII, Finam: no header",
        "symbol,per,date,time,open,high,low,close,volume",
        first=(SYMBOL, PERIOD, ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout(
        "kibot_bid_ask",
        "Kibot: bid and ask; the bids are used",
        "date,time,bid open,bid high,bid low,bid close,ask open,ask high,ask low,ask close",
        first=(ANY_TIME, TIME_OF_DAY),
        general=True,
    ),
    Layout("stooq_bulk", "Stooq: bulk files", "ticker,per,date,time,open,high,low,close,vol,openint"),
    Layout("metastock_ascii", "MetaStock ASCII, Finam", "ticker,per,date,[time],open,high,low,close,vol"),
    Layout(
        "cryptodatadownload",
        "CryptoDataDownload",
        "[unix],date,symbol,open,high,low,close,volume *",
        note="the first of its volume columns is used",
    ),
    Layout("polygon", "Polygon.io, Alpaca: API", "t,o,h,l,c,v"),
    Layout(
        "polygon_flat_files", "Polygon.io: flat files", "ticker,volume,open,close,high,low,window_start,transactions"
    ),
    Layout(
        "databento",
        "Databento: OHLCV",
        "ts event,rtype,publisher id,instrument id,open,high,low,close,volume",
        roles={"timestamp": "ts event"},
        note="prices without a decimal point are in units of 1e-9",
    ),
    Layout("investing_com", "Investing.com", "date,price,open,high,low,[vol],change %"),
    Layout("nasdaq_com", "Nasdaq.com", "date,close last,volume,open,high,low"),
    Layout(
        "tiingo",
        "Tiingo",
        "date,close,high,low,open,volume,adj close,adj high,adj low,adj open,[adj volume],[div cash],split factor",
    ),
    Layout(
        "alpha_vantage",
        "Alpha Vantage: adjusted",
        "timestamp,open,high,low,close,adjusted close,volume,dividend amount",
    ),
    Layout("yahoo", "Yahoo Finance: download", "date,open,high,low,close,adj close,volume"),
    Layout("yfinance_history", "yfinance: Ticker.history", "date,open,high,low,close,volume,dividends,stock splits"),
    Layout(
        "coinmarketcap",
        "CoinMarketCap",
        "time open,time close,time high,time low,open,high,low,close,volume,market cap",
        roles={"timestamp": "time open"},
    ),
    Layout("coinapi", "CoinAPI", "time period start,price open,price high,price low,price close,volume traded"),
    Layout("bloomberg", "Bloomberg", "date,px open,px high,px low,px last,[px volume]"),
    Layout(
        "fxcm", "FXCM, TrueFX: bid and ask", "bid open,bid high,bid low,bid close,ask open,ask high,ask low,ask close"
    ),
    Layout("oanda", "OANDA v20: mid prices", "time,mid o,mid h,mid l,mid c,[volume]"),
)

FORMATS = ("auto", *(layout.name for layout in (PLAIN, *LAYOUTS, BY_NAME)))


def layout_named(name: str) -> Layout | None:
    """Return the layout that a value of `format` selects; None for `auto`."""
    return next((layout for layout in (PLAIN, *LAYOUTS, BY_NAME) if layout.name == name), None)


def layout_table() -> str:
    """Return the layouts as a table in Markdown, which `docs/prices.md` contains."""
    rows = ["| `format` | written by | columns | times | note |", "|---|---|---|---|---|"]
    for layout in (PLAIN, *LAYOUTS, BY_NAME):
        header = "no header: " if layout.first else ""
        columns = layout.columns.replace(",", ", ")
        zone = layout.timezone or "UTC"
        rows.append(f"| `{layout.name}` | {layout.written_by} | {header}{columns} | {zone} | {layout.note} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(layout_table())
